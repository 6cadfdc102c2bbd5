import { Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as AgreementContract from "../../core/contract/AgreementContract.ts"
import * as Memory from "../memory/mod.ts"
import * as Sqlite from "./mod.ts"

const freshFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
  ),
  (folder) => join(folder, "belfry.db"),
)

const suite = (
  where: string,
  file: Effect.Effect<string, never, Scope.Scope>,
  sequences: number,
) =>
  AgreementContract.suite(`sqlite in ${where}`, Layer.empty, TestClock.adjust, {
    reference: Memory.layer,
    empty: Effect.flatMap(file, (file) => AgreementContract.fresh(Sqlite.layer({ file }))),
    sequences,
  })

/** Under Deno as many as show that nothing there is different. */
suite("memory", Effect.succeed(":memory:"), "Deno" in globalThis ? 100 : 1000)
suite("a file", freshFile, 25)

import { Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import * as AgreementContract from "../../core/contract/AgreementContract.ts"
import * as Memory from "../memory/mod.ts"
import * as Sqlite from "./mod.ts"
import { freshFile } from "./fresh.fixture.ts"

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

import { Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import * as ProcessesContract from "../../core/contract/ProcessesContract.ts"
import { movableClock } from "../../core/contract/world.ts"
import * as Direct from "../direct/mod.ts"
import * as Sqlite from "./mod.ts"

const folder = mkdtempSync(join(tmpdir(), "belfry-processes-"))
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
const clock = movableClock()

ProcessesContract.suite(
  "sqlite",
  Layer.empty,
  Layer.provideMerge(
    Direct.layer,
    Layer.provide(Sqlite.layer({ file: join(folder, "belfry.db") }), clock.layer),
  ),
  clock.elapse,
)

import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { TaskName } from "../../core/domain/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"
import { freshFolder } from "./fresh.fixture.ts"

const listener = fileURLToPath(new URL("./listener.fixture.ts", import.meta.url))
const isDeno = "Deno" in globalThis
const task = TaskName.make("greet")
const lane = Lane.ofTask(standard, task)

const submitted = Storage.use(({ runs }) =>
  runs.submit([{
    namespace: standard,
    task,
    payload: "1",
    lane,
    level: Lane.usual,
    delayMillis: 0,
    gate: undefined,
    idempotencyKey: undefined,
    isAtMostOnce: false,
    crashesMax: 3,
  }])
)

it.live(
  "L4 wake-up: another process that shares the file is woken within 50 ms",
  () =>
    Effect.gen(function* () {
      const folder = yield* freshFolder
      const file = join(folder, "belfry.db")
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(
            process.execPath,
            [...(isDeno ? ["run", "-A"] : []), listener, file, `lane ${lane}`],
            { stdio: ["ignore", "pipe", "inherit"] },
          )
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL")),
      )
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const next = Effect.map(Effect.promise(() => lines.next()), ({ value }) => value)

      const delays: Array<number> = []
      yield* Effect.gen(function* () {
        for (let round = 0; round < 20; round++) {
          assert.strictEqual(yield* next, "armed")
          // Long enough for it to look as rarely as it ever does.
          yield* Effect.sleep(100)
          yield* submitted
          const acknowledgedAt = performance.now()
          assert.strictEqual(yield* next, "woken")
          delays.push(performance.now() - acknowledgedAt)
        }
      }).pipe(Effect.provide(Sqlite.layer({ file })))
      const median = delays.toSorted((a, b) => a - b)[delays.length / 2]!
      assert.isBelow(median, 50, `of ${delays.map(Math.round).join(" ")}`)
    }),
  30_000,
)

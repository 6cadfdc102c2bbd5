/** Submits for as long as it lives and prints each run once it was acknowledged; for `kill.test.ts`. */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { TaskName } from "../../core/domain/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"

const task = TaskName.make("greet")

const submitOn = Effect.gen(function* () {
  const { runs } = yield* Storage
  for (;;) {
    const [answer] = yield* runs.submit([{
      namespace: standard,
      task,
      payload: JSON.stringify("x".repeat(200)),
      lane: Lane.ofTask(standard, task),
      level: Lane.usual,
      delayMillis: 0,
      gate: undefined,
      idempotencyKey: undefined,
      isAtMostOnce: false,
      crashesMax: 3,
    }])
    writeSync(1, `${answer!.run}\n`)
  }
})

await Effect.runPromise(
  Effect.all(Array.from({ length: 8 }, () => submitOn), { concurrency: "unbounded" }).pipe(
    Effect.provide(Sqlite.layer({ file: process.argv[2]! })),
  ),
)

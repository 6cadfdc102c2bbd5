/** Waits for hints of one topic: prints `armed` before each wait and `woken` after it. */
import { Duration, Effect } from "effect"
import { writeSync } from "node:fs"
import { type Topic, Wakeups } from "../../core/services/Wakeups.ts"
import * as Sqlite from "./mod.ts"

const [, , file, topic] = process.argv

const listen = Effect.gen(function* () {
  const { arm, wait } = yield* Wakeups.use((wakeups) => wakeups.subscribe([topic as Topic]))
  for (;;) {
    yield* arm
    writeSync(1, "armed\n")
    if (yield* wait(Duration.seconds(10))) writeSync(1, "woken\n")
  }
})

await Effect.runPromise(
  Effect.scoped(listen).pipe(Effect.provide(Sqlite.layer({ file: file! }))),
)

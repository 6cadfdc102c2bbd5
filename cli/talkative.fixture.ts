/** Tasks that say something, or wait in a group, for tests of the command line. */
import { Effect, Layer } from "effect"
import { threadId } from "node:worker_threads"
import { CurrentRun, Group, Task } from "../core/mod.ts"

const Talkative = Task.make("talkative")
const Elsewhere = Task.make("elsewhere", { policy: { isolation: "thread" } })

const Grouped = Task.make("grouped", { policy: { group: Group.make("billing", { limit: 1 }) } })

export default Layer.mergeAll(
  Talkative.toLayer(() =>
    Effect.gen(function* () {
      const { progress } = yield* CurrentRun
      for (let said = 1;; said++) {
        yield* Effect.logInfo(`word ${said}`)
        yield* progress({ done: said, total: 1000, text: "talking" })
        yield* Effect.sleep("100 millis")
      }
    })
  ),
  Grouped.toLayer(() => Effect.never),
  Elsewhere.toLayer(() => Effect.logInfo(`in thread ${threadId > 0}`)),
)

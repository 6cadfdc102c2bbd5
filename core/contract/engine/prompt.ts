/** How soon a run begins. Bounds are the product's: what the machine itself held up is not counted. */
import { assert } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { Storage } from "../../services/Storage.ts"
import { stalls } from "../invariants/stalls.ts"
import { serving, type Test, until } from "../program.ts"
import { times } from "../world.ts"

const atMostMillis = 100

export const prompt = (test: Test): void => {
  test("G10: with a backlog the next run begins within 100 ms of the end of the one before", () =>
    Effect.gen(function* () {
      const stalled = yield* stalls
      const scheduler = yield* Scheduler
      const work = Task.make("backlog")
      const runs = yield* Effect.forEach(times(100), () => work.submit({}), { concurrency: 10 })
      const between: Array<number> = []
      let ended: number | undefined
      const begun = performance.now()
      yield* serving(
        work.toLayer(() =>
          Effect.gen(function* () {
            if (ended !== undefined) between.push(performance.now() - ended)
            yield* Effect.sleep("1 milli")
            ended = performance.now()
          })
        ),
        { concurrency: 1 },
      )
      for (const run of runs) yield* scheduler.ended(run)
      assert.strictEqual(between.length, 99)
      const median = between.toSorted((a, b) => a - b)[49]!
      assert.isBelow(median, atMostMillis)
      assert.isBelow(Math.max(...between), atMostMillis + stalled(begun))
    }))

  test("G22: a run begins within 100 ms of its submit at an executor that waits", () =>
    Effect.gen(function* () {
      const stalled = yield* stalls
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const { executors } = yield* Storage
      const work = Task.make("waiting")
      yield* serving(work.toLayer(() => Effect.void))
      yield* until(executors.list(namespace), ([each]) => (each?.tasks.length ?? 0) > 0)
      yield* Effect.sleep("500 millis")
      for (const _ of times(5)) {
        const begun = performance.now()
        const { claimedAt, createdAt } = yield* scheduler.ended(yield* work.submit({}))
        const took = DateTime.toEpochMillis(claimedAt!) - DateTime.toEpochMillis(createdAt)
        assert.isBelow(took, atMostMillis + stalled(begun))
        yield* Effect.sleep("100 millis")
      }
    }))
}

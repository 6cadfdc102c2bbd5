/**
 * J13: a trigger that is paused makes no run from then on, and leaves those alone that it has made.
 *
 * Tried, and caught: slots that go on firing; none told of; a pause that cancels what its trigger has made.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { serving, type Test, until } from "../program.ts"

export const paused = (test: Test): void => {
  test("J13: a pause lets what runs and what waits go on to its end, and passes the slots after it over", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const triggers = yield* Triggers
      const scheduler = yield* Scheduler
      const task = Task.make("long")
      const goOn = yield* Deferred.make<void>()
      const began: Array<number> = []
      let stopped = 0
      yield* serving(
        task.toLayer(() =>
          CurrentRun.use(({ id }) => {
            began.push(id)
            return Effect.onInterrupt(Deferred.await(goOn), () => Effect.sync(() => void stopped++))
          })
        ),
        { concurrency: 1 },
      )
      yield* Layer.build(task.schedule("often", Trigger.cron("* * * * * *"), {}))
      const made = Effect.map(
        scheduler.list({ namespace, limit: 100 }),
        (runs) => runs.map(({ id }) => id).toSorted((a, b) => a - b),
      )
      yield* until(made, ({ length }) => began.length > 0 && length > 1)
      yield* triggers.pause(namespace, "often")
      const before = yield* made
      const under = yield* scheduler.find(before[0]!)
      assert.strictEqual(under.state, "Running")
      const records = triggers.records(namespace, "often", 100)
      const [passing] = yield* until(
        records,
        ([latest]) => latest?.reason === "paused" && latest.through - latest.slot >= 2000,
      )
      assert.deepInclude(passing, { outcome: "skipped" })
      assert.isUndefined(passing!.run)
      assert.deepStrictEqual(yield* scheduler.find(before[0]!), under)
      yield* Deferred.succeed(goOn, undefined)
      for (const run of before) {
        assert.deepInclude(yield* scheduler.ended(run), { state: "Succeeded", attempt: 1 })
      }
      assert.deepStrictEqual(began, before, "each once, in order")
      assert.strictEqual(stopped, 0)
      assert.deepStrictEqual(yield* made, before, "and no other")
    }))
}

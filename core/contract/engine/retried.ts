/** What is tried again, what ends in time, and what does not. */
import { assert } from "@effect/vitest"
import { DateTime, Deferred, Effect, Layer, Schema } from "effect"
import * as Retry from "../../domain/Retry.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { Storage } from "../../services/Storage.ts"
import { serving, state, type Test, until } from "../program.ts"
import { stalls } from "../invariants/stalls.ts"
import { fresh } from "../world.ts"

export const retried = (test: Test): void => {
  test("I17 time-out: a handler that ignores its interruption is stuck, and gives its place back", () =>
    Effect.gen(function* () {
      const release = yield* Deferred.make<void>()
      const stuck = Task.make("stuck", { policy: { timeout: "200 millis" } })
      const next = Task.make("next")
      yield* serving(
        Layer.mergeAll(
          stuck.toLayer(() => Effect.uninterruptible(Deferred.await(release))),
          next.toLayer(() => Effect.void),
        ),
        { concurrency: 1, stopTimeout: "300 millis" },
      )
      const run = yield* stuck.submit({})
      yield* next.execute({})
      const view = yield* Scheduler.use((scheduler) => scheduler.ended(run))
      assert.strictEqual(view.state, "TimedOut")
      assert.include(view.failure?.message, "stuck")
      const namespace = yield* CurrentNamespace
      const { executors } = yield* Storage
      yield* until(executors.list(namespace), ([each]) => each?.vitals?.stuck === 1)
      yield* Deferred.succeed(release, undefined)
      yield* until(executors.list(namespace), ([each]) => each?.vitals?.stuck === 0)
    }))

  test("J10: a run is marked within a second of its time-out, whether or not its handler stops", () =>
    Effect.gen(function* () {
      const stalled = yield* stalls
      const timeoutMillis = 300
      const policy = { timeout: timeoutMillis }
      const [deaf, slow] = [Task.make("deaf", { policy }), Task.make("slow", { policy })]
      yield* serving(Layer.mergeAll(
        deaf.toLayer(() => Effect.uninterruptible(Effect.sleep("4 seconds"))),
        slow.toLayer(() => Effect.ensuring(Effect.never, Effect.sleep("3 seconds"))),
      ))
      const begun = performance.now()
      const scheduler = yield* Scheduler
      for (const run of [yield* deaf.submit({}), yield* slow.submit({})]) {
        const { claimedAt, finishedAt, state } = yield* scheduler.ended(run)
        assert.strictEqual(state, "TimedOut")
        const took = DateTime.toEpochMillis(finishedAt!) - DateTime.toEpochMillis(claimedAt!)
        assert.isAtLeast(took, timeoutMillis)
        assert.isAtMost(took, timeoutMillis + 1000 + stalled(begun))
      }
    }))

  test("retries what dies, and gives up after the last attempt", () =>
    Effect.gen(function* () {
      const retry = Retry.exponential({ attempts: 3, delayMillis: 20, growth: 1 })
      const flaky = Task.make("flaky", { success: Schema.Int, policy: { retry } })
      const doomed = Task.make("doomed", { policy: { retry } })
      yield* serving(Layer.mergeAll(
        flaky.toLayer(() =>
          CurrentRun.use(({ attempt }) =>
            attempt < 3 ? Effect.die(new Error("not yet")) : Effect.succeed(attempt)
          )
        ),
        doomed.toLayer(() => Effect.die(new Error("never"))),
      ))
      assert.strictEqual(yield* flaky.execute({}), 3)
      const failed = yield* Effect.flip(doomed.execute({}))
      assert(failed._tag === "RunFailed")
      assert.strictEqual(failed.state, "Failed")
      assert.strictEqual(failed.failure?.message, "never")
      assert.strictEqual((yield* state(failed.run)).attempt, 3)
    }))

  test("I17 time-out: an attempt that takes too long is interrupted, and its finalizers run", () =>
    Effect.gen(function* () {
      const cleaned = yield* Deferred.make<void>()
      const slow = Task.make("slow", { policy: { timeout: "100 millis" } })
      yield* serving(
        slow.toLayer(() =>
          Effect.onInterrupt(Effect.never, () => Deferred.succeed(cleaned, undefined))
        ),
      )
      const failed = yield* Effect.flip(slow.execute({}))
      assert(failed._tag === "RunFailed")
      assert.strictEqual(failed.state, "TimedOut")
      yield* Deferred.await(cleaned)
      const { claimedAt, finishedAt } = yield* state(failed.run)
      const took = DateTime.toEpochMillis(finishedAt!) - DateTime.toEpochMillis(claimedAt!)
      assert.isBelow(took, 100 + 1000, "within a second")
    }))

  test("tries again what the policy covers, and nothing else", () =>
    Effect.gen(function* () {
      const attempts = { Flaky: 0, Broken: 0 }
      const picky = Task.make("picky", {
        payload: { tag: Schema.Literals(["Flaky", "Broken"]) },
        policy: {
          retry: Retry.exponential({
            attempts: 3,
            delayMillis: 1,
            errors: Retry.only("Flaky"),
          }),
        },
      })
      yield* serving(picky.toLayer(({ tag }) =>
        Effect.suspend(() => {
          attempts[tag]++
          return Effect.die({ _tag: tag })
        })
      ))
      for (const tag of ["Flaky", "Broken"] as const) {
        yield* Effect.flip(picky.execute({ tag }))
      }
      assert.deepStrictEqual(attempts, { Flaky: 3, Broken: 1 })
    }))

  test("tries again only within the time that its policy gives from when the run was due", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const begun: Array<number> = []
      const withinMillis = 600
      const hopeless = Task.make(fresh("hopeless"), {
        policy: {
          retry: Retry.exponential({
            ...{ attempts: 1000, delayMillis: 60, growth: 1, jitter: 0 },
            withinMillis,
          }),
        },
      })
      yield* serving(hopeless.toLayer(() =>
        Effect.suspend(() => {
          begun.push(performance.now())
          return Effect.die(new Error("it never works"))
        })
      ))
      const submitted = performance.now()
      const view = yield* scheduler.ended(yield* hopeless.submit({}))
      assert.strictEqual(view.state, "Failed")
      assert.isAbove(begun.length, 1)
      assert.isAtMost(begun.length, 1 + withinMillis / 60)
      // What it learns is as old as the answer to a claim.
      assert.isAtMost(begun.at(-1)! - submitted, withinMillis + 500)
    }))
}

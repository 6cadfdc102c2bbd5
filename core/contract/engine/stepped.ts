/** The steps of an attempt, in their order: prepared, run, rolled back, cleaned. */
import { assert } from "@effect/vitest"
import { DateTime, Deferred, type Duration, Effect, Exit, Layer, Schema, Scope } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import type { Policy } from "../../domain/Policy.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Storage } from "../../services/Storage.ts"
import { serving, state, type Test, TooSmall, until } from "../program.ts"

export const stepped = (test: Test): void => {
  const stoppedInClean = (delivery: Policy["delivery"]) =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const step = (name: string) => Effect.sync(() => void steps.push(name))
      const task = Task.make("careful", { success: Schema.String, policy: { delivery } })
      const live = (clean: Effect.Effect<void>) =>
        task.toLayer(() => Effect.as(step("run"), "done"), {
          prepare: () => step("prepare"),
          clean: (_, { state }) => Effect.andThen(step(`clean ${state}`), clean),
          summary: () => Effect.succeed("it went well"),
        })
      const scope = yield* Scope.make()
      yield* Scope.provide(
        serving(live(Effect.never), { drainTimeout: "100 millis" }),
        scope,
      )
      const run = yield* task.submit({})
      const cleaning = yield* until(state(run), ({ phase }) => phase !== undefined)
      assert.deepInclude(cleaning, { state: "Running", phase: "cleaning" })
      yield* Scope.close(scope, Exit.void)
      yield* serving(live(Effect.void))
      assert.strictEqual(yield* task.result(run), "done")
      assert.deepStrictEqual(steps, ["prepare", "run", "clean Succeeded", "clean Succeeded"])
      const { lines } = yield* Scheduler.use((s) => s.log({ run, limit: 9 }))
      assert.strictEqual(lines.at(-1)?.text, "it went well")
    })

  test("stores the outcome before it cleans, and cleans elsewhere when it is stopped there", () =>
    stoppedInClean("at-least-once"))

  test("what may begin once alone is cleaned elsewhere, too, and ends as it had", () =>
    stoppedInClean("at-most-once"))

  test("Q37: takes its steps in order: let in, prepared, run, cleaned, ended, and then who waits for that", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const steps: Array<string> = []
      const step = (name: string) => Effect.sync(() => void steps.push(name))
      const task = Task.make("stepwise", {
        payload: { name: Schema.String },
        policy: { blocking: Blocking.fifo },
      })
      const next = Task.make("next")
      yield* serving(Layer.merge(
        task.toLayer(({ name }) => step(`${name} runs`), {
          prepare: ({ name }) => step(`${name} is prepared`),
          clean: ({ name }) => step(`${name} is cleaned`),
        }),
        next.toLayer(() => step("next")),
      ))
      yield* Layer.build(next.schedule("behind", Trigger.after(task), {}))
      const runs = yield* Effect.forEach(["a", "b", "c"], (name) => task.submit({ name }))
      yield* until(
        Effect.sync(() => steps.filter((step) => step === "next").length),
        (count) => count === runs.length,
      )
      assert.deepStrictEqual(
        steps.filter((step) => step !== "next"),
        ["a", "b", "c"].flatMap((name) =>
          ["is prepared", "runs", "is cleaned"].map((what) => `${name} ${what}`)
        ),
      )
      const followers = yield* scheduler.list({ namespace, task: next.name, limit: 9 })
      let free = 0
      for (const run of runs) {
        const told = yield* scheduler.events(run)
        const kinds = ["Submitted", "Admitted", "Claimed", "Succeeded"]
        assert.deepStrictEqual(told.map(({ kind }) => kind), kinds)
        const at = told.map(({ at }) => DateTime.toEpochMillis(at))
        assert.deepStrictEqual(at, at.toSorted((a, b) => a - b))
        assert.isAtLeast(at[1]!, free, "its place of the gate is free")
        free = at[3]!
        const follower = followers.find(({ after }) => after === run)!
        assert.isAtLeast(DateTime.toEpochMillis(follower.createdAt), free)
      }
    }))

  /** A task that hands its runs over, and what its hooks did. */
  const handingOver = (name: string, timeout: Duration.Input = "1 hour") => {
    const steps: Array<string> = []
    const step = (said: string) => Effect.sync(() => void steps.push(said))
    const task = Task.make(name, { success: Schema.Int })
    const live = (clean: Effect.Effect<void> = Effect.void) =>
      task.toLayer(
        () => Effect.andThen(step("run"), CurrentRun.use(({ handOver }) => handOver(timeout))),
        {
          prepare: () => step("prepare"),
          rollback: (_, { tag }) => step(`rollback ${tag}`),
          clean: (_, { state }) => Effect.andThen(step(`clean ${state}`), clean),
          summary: (_, { state }) => Effect.as(step(`summary ${state}`), `it has ${state}`),
        },
      )
    const begun = ["prepare", "run"]
    const handedOver = Effect.gen(function* () {
      const run = yield* task.submit({})
      yield* until(state(run), (view) => view.state === "Awaiting")
      assert.deepStrictEqual(steps, begun)
      return run
    })
    return { begun, handedOver, live, step, steps, task }
  }

  test("Q38: of two notices at once one counts: cleaned once, and who waits for it begins after that, once", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const { begun, handedOver, live, step, steps, task } = handingOver("payment-with-hooks")
      const next = Task.make("next-of-payment")
      yield* serving(Layer.merge(live(), next.toLayer(() => step("next"))))
      yield* Layer.build(next.schedule("behind", Trigger.after(task), {}))
      const run = yield* handedOver
      const answers = yield* Effect.all(
        [42, 43].map((n) => scheduler.notify(run, { _tag: "Succeeded", result: `${n}` })),
        { concurrency: 2 },
      )
      assert.deepStrictEqual(answers.toSorted(), ["applied", "duplicate"])
      assert.strictEqual(yield* task.result(run), 42 + answers.indexOf("applied"))
      yield* until(Effect.sync(() => steps), (all) => all.includes("next"))
      assert.strictEqual(yield* scheduler.notify(run, { _tag: "Succeeded" }), "duplicate")
      assert.deepStrictEqual(steps, [...begun, "clean Succeeded", "summary Succeeded", "next"])
      assert.lengthOf(yield* scheduler.list({ namespace, task: next.name, limit: 9 }), 1)
      assert.deepInclude(yield* state(run), { state: "Succeeded", attempt: 1 })
    }))

  test("Q38: a notice of failure has what was handed over rolled back, and cleaned", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const { begun, handedOver, live, steps } = handingOver("payment-refused")
      yield* serving(live())
      const run = yield* handedOver
      const failure = { tag: "Refused", message: "no funds" }
      assert.strictEqual(yield* scheduler.notify(run, { _tag: "Failed", failure }), "applied")
      assert.deepInclude(yield* scheduler.ended(run), { state: "Failed", failure })
      assert.deepStrictEqual(
        steps,
        [...begun, "rollback Refused", "clean Failed", "summary Failed"],
      )
    }))

  test("Q38: so has the silence of whoever it was handed over to; a cancel has it cleaned", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const silent = handingOver("payment-silent", "50 millis")
      const stopped = handingOver("payment-stopped")
      yield* serving(Layer.merge(silent.live(), stopped.live()))
      const late = yield* silent.task.submit({})
      assert.strictEqual((yield* scheduler.ended(late)).state, "TimedOut")
      const undone = ["rollback TimedOut", "clean TimedOut", "summary TimedOut"]
      assert.deepStrictEqual(silent.steps, [...silent.begun, ...undone])
      const run = yield* stopped.handedOver
      assert.strictEqual(yield* scheduler.cancel(run), "requested")
      assert.strictEqual((yield* scheduler.ended(run)).state, "Cancelled")
      assert.deepStrictEqual(stopped.steps, [...stopped.begun, "clean Stopped"])
    }))

  test("Q38: stopped while it cleans what was notified of, it is cleaned elsewhere, and ends as it was told", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const { begun, handedOver, live, steps, task } = handingOver("payment-moved")
      const scope = yield* Scope.make()
      yield* Scope.provide(serving(live(Effect.never), { drainTimeout: "100 millis" }), scope)
      const run = yield* handedOver
      yield* scheduler.notify(run, { _tag: "Succeeded", result: "7" })
      yield* until(state(run), ({ phase }) => phase === "cleaning")
      assert.strictEqual(yield* scheduler.notify(run, { _tag: "Succeeded" }), "duplicate")
      yield* Scope.close(scope, Exit.void)
      yield* serving(live())
      assert.strictEqual(yield* task.result(run), 7)
      assert.deepStrictEqual(
        steps,
        [...begun, "clean Succeeded", "clean Succeeded", "summary Succeeded"],
      )
    }))

  test("Q38: a notice that comes before its handler has handed it over ends it, and it is cleaned there", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const steps: Array<string> = []
      const isNotified = yield* Deferred.make<void>()
      const task = Task.make("payment-at-once", { success: Schema.Int })
      yield* serving(task.toLayer(
        () =>
          Effect.andThen(
            Deferred.await(isNotified),
            CurrentRun.use(({ handOver }) => handOver("1 hour")),
          ),
        { clean: (_, { state }) => Effect.sync(() => void steps.push(`clean ${state}`)) },
      ))
      const run = yield* task.submit({})
      yield* until(state(run), (view) => view.state === "Running")
      yield* scheduler.notify(run, { _tag: "Succeeded", result: "7" })
      assert.strictEqual(yield* task.result(run), 7)
      assert.deepStrictEqual(steps, [])
      yield* Deferred.succeed(isNotified, undefined)
      yield* until(Effect.sync(() => steps), ({ length }) => length > 0)
      assert.deepStrictEqual(steps, ["clean Stopped"])
    }))

  test("rolls back what failed for good, and shows it doing so", () =>
    Effect.gen(function* () {
      const goOn = yield* Deferred.make<void>()
      const task = Task.make("undone", { error: TooSmall })
      yield* serving(task.toLayer(() => Effect.fail(new TooSmall({ least: 7 })), {
        rollback: (_, { tag }) =>
          Effect.andThen(
            Deferred.await(goOn),
            Effect.die(new Error(`cannot undo after ${tag}`)),
          ),
      }))
      const run = yield* task.submit({})
      yield* until(state(run), ({ phase }) => phase === "rollingBack")
      yield* Deferred.succeed(goOn, undefined)
      const view = yield* Scheduler.use((scheduler) => scheduler.ended(run))
      assert.strictEqual(view.state, "Failed")
      assert.strictEqual(view.failure?.tag, "RollbackFailed")
      assert.include(view.failure?.message, "cannot undo after TooSmall")
    }))

  test("Q32: rolls back on demand what has succeeded, with its result, and again if that fails", () =>
    Effect.gen(function* () {
      const undone: Array<unknown> = []
      let isWilling = false
      const task = Task.make("charge", { success: Schema.String })
      yield* serving(task.toLayer(() => Effect.succeed("receipt 7"), {
        rollback: (_, failure) =>
          CurrentRun.use(({ result }) =>
            isWilling
              ? Effect.sync(() => void undone.push([failure.tag, failure.message, result]))
              : Effect.die(new Error("the bank is closed"))
          ),
      }))
      const run = yield* task.submit({})
      assert.strictEqual(yield* task.result(run), "receipt 7")
      const { ended, events, rollback } = yield* Scheduler
      assert.strictEqual(yield* rollback(run, { by: "Ada", note: "twice" }), "confirmed")
      const failed = yield* ended(run)
      assert.strictEqual(failed.state, "Failed")
      assert.strictEqual(failed.failure?.tag, "RollbackFailed")
      assert.include(failed.failure?.message, "the bank is closed")
      isWilling = true
      yield* rollback(run, { by: "Bob" })
      const view = yield* ended(run)
      assert.strictEqual(view.state, "Failed")
      assert.strictEqual(view.failure?.tag, "RolledBack")
      const said = "Bob asked for it to be rolled back"
      assert.deepStrictEqual(undone, [["RollbackAsked", said, '"receipt 7"']])
      assert.strictEqual(yield* rollback(run), "confirmed")
      assert.deepStrictEqual(
        (yield* events(run)).flatMap(({ by, detail, kind }) =>
          kind === "RollbackAsked" ? [[by, detail]] : []
        ),
        [["Ada", "twice"], ["Bob", undefined]],
      )
    }))

  test("Q32: says why it rolls nothing back, and that a task has no rollback", () =>
    Effect.gen(function* () {
      const { rollback } = yield* Scheduler
      const task = Task.make("plain")
      const waiting = yield* task.submit({}, { delay: "1 hour" })
      const early = yield* Effect.flip(rollback(waiting))
      assert.strictEqual(early._tag, "OrderRefused")
      assert.include(early.message, "has not ended; cancel it")
      yield* Scheduler.use((scheduler) => scheduler.cancel(waiting))
      assert.include((yield* Effect.flip(rollback(waiting))).message, "nobody has begun it")
      const tooMuch = yield* Effect.flip(rollback(waiting, { note: "x".repeat(1025) }))
      assert.deepInclude(tooMuch, { _tag: "Refused", field: "note" })
      yield* serving(task.toLayer(() => Effect.void))
      const run = yield* task.submit({})
      yield* task.result(run)
      const refused = yield* Effect.flip(rollback(run))
      assert.deepInclude(refused, { _tag: "OrderRefused", state: "Succeeded" })
      assert.include(refused.message, 'the task "plain" has no `rollback`')
      assert.strictEqual((yield* state(run)).state, "Succeeded")
    }))

  test("Q32: a task of which nobody has said what its hooks are is tried, and says that it has none", () =>
    Effect.gen(function* () {
      const { ended, rollback } = yield* Scheduler
      const task = Task.make("plain")
      yield* serving(task.toLayer(() => Effect.void))
      const run = yield* task.submit({})
      yield* task.result(run)
      // As executors of earlier versions tell of it.
      const namespace = yield* CurrentNamespace
      yield* Storage.use(({ tasks }) => tasks.define([task.definition(namespace)]))
      assert.strictEqual(yield* rollback(run), "confirmed")
      const { failure } = yield* ended(run)
      assert.strictEqual(failure?.tag, "RollbackFailed")
      assert.include(failure?.message, "the task has no rollback")
    }))
}

/** What orders to runs do: cancelled, put down, resumed, hurried, given a deadline. */
import { assert } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Ref, Schema, Scope } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Executor } from "../../engine/Executor.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { serving, state, type Test, until } from "../program.ts"

export const ordered = (test: Test): void => {
  test("cancels a waiting run at once, and a running one through its holder", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const long = Task.make("long")
      yield* serving(
        long.toLayer(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)),
        { concurrency: 1 },
      )
      const scheduler = yield* Scheduler
      const running = yield* long.submit({})
      yield* Deferred.await(started)
      const waiting = yield* long.submit({}, { delay: "1 hour" })
      assert.strictEqual(yield* scheduler.cancel(waiting), "confirmed")
      assert.strictEqual(yield* scheduler.cancel(running), "requested")
      assert.strictEqual((yield* scheduler.ended(running)).state, "Cancelled")
      assert.strictEqual(yield* scheduler.cancel(running), "confirmed")
    }))

  test("puts a run down when it is suspended, and resumes it from its checkpoint", () =>
    Effect.gen(function* () {
      const starts = yield* Ref.make<ReadonlyArray<string | undefined>>([])
      const task = Task.make("steps", { success: Schema.String })
      yield* serving(task.toLayer(() =>
        Effect.gen(function* () {
          const { checkpoint, keep } = yield* CurrentRun
          if (checkpoint === undefined) yield* Effect.orDie(keep('"half"'))
          yield* Ref.update(starts, (all) => [...all, checkpoint])
          return checkpoint ?? (yield* Effect.never)
        })
      ))
      const scheduler = yield* Scheduler
      const run = yield* task.submit({})
      yield* until(Ref.get(starts), (all) => all.length === 1)
      assert.strictEqual(yield* scheduler.suspend(run), "requested")
      yield* until(state(run), (view) => view.state === "Suspended")
      assert.deepInclude(yield* scheduler.why(run), { _tag: "Suspended" })
      assert.strictEqual(yield* scheduler.resume(run), "confirmed")
      assert.strictEqual(yield* task.result(run), '"half"')
      assert.deepStrictEqual(yield* Ref.get(starts), [undefined, '"half"'])
      const refused = yield* Effect.flip(scheduler.suspend(run))
      assert.deepInclude(refused, { _tag: "OrderRefused", state: "Succeeded" })
    }))

  test("A23, A24: what is suspended frees its place, and goes on elsewhere with no step done twice", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const isHalfway = yield* Deferred.make<void>()
      const task = Task.make("in-steps")
      const live = (where: string) =>
        task.toLayer(() =>
          Effect.gen(function* () {
            const { checkpoint, keep } = yield* CurrentRun
            for (let step = Number(checkpoint ?? "0") + 1; step <= 4; step++) {
              done.push(`${step} ${where}`)
              yield* Effect.orDie(keep(`${step}`))
              if (step < 2 || where === "there") continue
              yield* Deferred.succeed(isHalfway, undefined)
              yield* Effect.never
            }
          })
        )
      const joined = (name: string) =>
        Layer.build(
          Layer.provideMerge(live(name), Executor.layerWith({ ttl: "4 seconds", name })),
        )
      const scope = yield* Scope.make()
      const { status } = Context.get(yield* Scope.provide(joined("here"), scope), Executor)
      const scheduler = yield* Scheduler
      const run = yield* task.submit({})
      yield* Deferred.await(isHalfway)
      assert.strictEqual((yield* status).running, 1)
      yield* scheduler.suspend(run)
      yield* until(state(run), (view) => view.state === "Suspended")
      yield* until(status, ({ running }) => running === 0)
      yield* Scope.close(scope, Exit.void)
      yield* joined("there")
      yield* scheduler.resume(run)
      yield* task.result(run)
      assert.deepStrictEqual(done, ["1 here", "2 here", "3 there", "4 there"])
    }))

  test("lets a run expire that nobody began by its deadline", () =>
    Effect.gen(function* () {
      const late = Task.make("late")
      const scheduler = yield* Scheduler
      const run = yield* late.submit({}, { deadline: "50 millis" })
      const ended = yield* scheduler.ended(run)
      assert.deepInclude(ended, { state: "Expired", attempt: 0 })
      const refused = yield* Effect.flip(late.submit({}, { deadline: 0 }))
      assert.deepInclude(refused, { _tag: "Refused", field: "deadline" })
    }))

  test("refuses when a run is to be that nobody could keep to, and stores none", () =>
    Effect.gen(function* () {
      const task = Task.make("unkept")
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const cases = [
        [{ delay: "10 seconds", deadline: "1 second" }, "deadline"],
        [{ delay: "10 seconds", deadline: "10 seconds" }, "deadline"],
        [{ delay: -5 }, "delay"],
        [{ delay: "400 days" }, "delay"],
        [{ level: 9 as never }, "level"],
      ] as const
      for (const [options, field] of cases) {
        const refused = yield* Effect.flip(task.submit({}, options))
        assert.deepInclude(refused, { _tag: "Refused", field })
      }
      assert.deepStrictEqual(yield* scheduler.list({ namespace, task: task.name, limit: 9 }), [])
      const run = yield* task.submit({}, { delay: "10 seconds", deadline: "11 seconds" })
      assert.deepInclude(yield* Effect.flip(scheduler.change(run, { level: 9 as never })), {
        _tag: "Refused",
        field: "level",
      })
    }))

  test("has a run that waits go sooner on request, and says by whom and instead of what", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const only = Task.make("one-at-a-time", {
        payload: { name: Schema.String },
        policy: { blocking: Blocking.fifo },
      })
      const scheduler = yield* Scheduler
      const go = yield* Deferred.make<void>()
      yield* serving(only.toLayer(({ name }) => {
        order.push(name)
        return name === "first" ? Deferred.await(go) : Effect.void
      }))
      yield* only.submit({ name: "first" })
      yield* until(Effect.sync(() => order.length), (count) => count === 1)
      const second = yield* only.submit({ name: "second" })
      const third = yield* only.submit({ name: "third" })
      yield* scheduler.change(third, { level: 0, by: "Ada" })
      const why = yield* scheduler.why(third)
      assert.deepInclude(why, {
        _tag: "GateFull",
        ahead: 0,
        level: { present: 0, submitted: 1 },
      })
      assert.notProperty(yield* scheduler.why(second), "level")
      const nobody = yield* Effect.flip(scheduler.change(second, { level: 0, by: "" }))
      assert.deepInclude(nobody, { _tag: "Refused", field: "by" })
      yield* Deferred.succeed(go, undefined)
      for (const run of [second, third]) yield* scheduler.ended(run)
      assert.deepStrictEqual(order, ["first", "third", "second"])
      const said = (yield* scheduler.events(third)).find(({ kind }) => kind === "LevelSet")
      assert.deepInclude(said, { detail: "usual → urgent", by: "Ada" })
    }))

  test("Q33: changes what waits or runs if it is at the revision that is named, and says what is too late", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const one = Task.make("one-by-one", { policy: { blocking: Blocking.fifo } })
      const go = yield* Deferred.make<void>()
      yield* serving(one.toLayer(() => Deferred.await(go)))
      const first = yield* one.submit({})
      yield* until(scheduler.find(first), ({ state }) => state === "Running")
      const second = yield* one.submit({})
      const change = (options: Parameters<typeof scheduler.change>[1], run = second) =>
        Effect.flip(scheduler.change(run, options))
      assert.deepInclude(yield* change({}), { _tag: "Refused", field: "change" })
      assert.deepInclude(yield* change({ deadline: 0 }), { _tag: "Refused", field: "deadline" })
      assert.deepInclude(yield* change({ deadline: 50, revision: 4 }), {
        _tag: "RunChanged",
        revision: 1,
      })
      assert.deepInclude(yield* change({ deadline: 50 }, first), {
        _tag: "OrderRefused",
        state: "Running",
      })
      assert.deepInclude(yield* change({ level: 0, revision: 4 }, first), {
        _tag: "RunChanged",
        revision: 1,
      })
      yield* scheduler.change(first, { level: 0, revision: 1, by: "Ada" })
      assert.deepInclude(yield* scheduler.find(first), {
        level: 0,
        state: "Running",
        revision: 2,
      })
      yield* scheduler.change(second, { deadline: 50, revision: 1, by: "Ada" })
      assert.deepInclude(yield* scheduler.find(second), { revision: 2 })
      assert.strictEqual((yield* scheduler.ended(second)).state, "Expired")
      assert.deepInclude(yield* change({ deadline: null }), { state: "Expired" })
      yield* Deferred.succeed(go, undefined)
      yield* scheduler.ended(first)
    }))
}

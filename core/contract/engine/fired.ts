/** When a trigger fires, and what follows an end. */
import { assert } from "@effect/vitest"
import { Clock, DateTime, Deferred, Effect, Layer, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import { dateOf } from "../../domain/Calendar.ts"
import { RunId } from "../../domain/RunId.ts"
import { dueOf, type TriggerName } from "../../domain/Trigger.ts"
import * as Calendar from "../../engine/Calendar.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { Storage } from "../../services/Storage.ts"
import { stalls } from "../invariants/stalls.ts"
import { serving, state, type Test, TooSmall, until } from "../program.ts"

export const fired = (test: Test): void => {
  test("I9 slot accounting, I10 timeliness: a trigger fires at each of its slots, once, and not early", () =>
    Effect.gen(function* () {
      const slots: Array<number> = []
      const { now } = yield* Storage
      const tick = Task.make("tick")
      yield* serving(
        tick.toLayer(() =>
          Effect.gen(function* () {
            const { slot } = yield* CurrentRun
            assert.isAtLeast(yield* Effect.orDie(now), slot!)
            slots.push(slot!)
          })
        ),
      )
      const stalled = yield* stalls
      const began = performance.now()
      yield* Layer.build(tick.schedule("every-second", Trigger.cron("* * * * * *"), {}))
      yield* until(Effect.sync(() => slots.length), (count) => count >= 3)
      const sorted = slots.toSorted((a, b) => a - b)
      assert.deepStrictEqual(sorted, sorted.map((_, at) => sorted[0]! + 1000 * at))
      const namespace = yield* CurrentNamespace
      const triggers = yield* Triggers
      yield* triggers.pause(namespace, "every-second")
      const records = yield* triggers.records(namespace, "every-second", 100)
      assert(records.every(({ outcome }) => outcome === "fired"))
      for (const { latenessMillis } of records) {
        assert.isAtLeast(latenessMillis, 0)
        assert.isAtMost(latenessMillis, 2000 + stalled(began))
      }
      const runs = yield* Scheduler.use(({ list }) => list({ namespace, limit: 100 }))
      assert.sameMembers(records.map(({ run }) => run), runs.map(({ id }) => id))
      assert.sameMembers(
        records.map(({ slot }) => slot),
        runs.map(({ slot }) => DateTime.toEpochMillis(slot!)),
      )
    }))

  test("fires by a calendar, and follows it when it changes", () =>
    Effect.gen(function* () {
      const { calendars, records } = yield* Triggers
      const namespace = yield* CurrentNamespace
      const slots: Array<number> = []
      const tick = Task.make("tick")
      yield* serving(
        tick.toLayer(() => CurrentRun.use(({ slot }) => Effect.sync(() => slots.push(slot!)))),
      )
      const now = yield* Clock.currentTimeMillis
      const holidays = [0, 1].map((days) => dateOf(Math.floor(now / 86_400_000) + days))
      yield* Layer.build(
        tick.schedule("workdays", Trigger.cron("* * * * * *", { calendar: "office" }), {}).pipe(
          Layer.provide(Calendar.keep({ name: "office", rest: [], holidays })),
        ),
      )
      yield* Effect.sleep("1500 millis")
      assert.deepStrictEqual(yield* records(namespace, "workdays", 10), [])
      yield* calendars.put({ namespace, name: "office", rest: [] })
      yield* until(Effect.sync(() => slots.length), (count) => count >= 2)
      yield* calendars.put({ namespace, name: "office", rest: [], holidays })
      const last = (yield* records(namespace, "workdays", 1))[0]!.slot
      yield* Effect.sleep("1500 millis")
      assert.isAtMost((yield* records(namespace, "workdays", 1))[0]!.slot, last + 1000)
    }))

  test("fires until the end, and keeps a trigger that is over when it is brought again", () =>
    Effect.gen(function* () {
      const { list, records } = yield* Triggers
      const namespace = yield* CurrentNamespace
      const now = yield* Clock.currentTimeMillis
      const last = (Math.ceil(now / 1000) + 1) * 1000
      const tick = Task.make("tick")
      const ending = (end: number) =>
        tick.schedule("ending", Trigger.cron("* * * * * *", { end: new Date(end) }), {})
      yield* Layer.build(Layer.fresh(ending(last + 1)))
      const [over] = yield* until(list(namespace), ([view]) => view?.cursor === undefined)
      assert.strictEqual((yield* records(namespace, "ending", 10))[0]!.slot, last)
      yield* Effect.sleep("50 millis")
      yield* Layer.build(Layer.fresh(ending(last + 1)))
      assert.deepEqual(yield* list(namespace), [over!])
      const other = yield* Effect.flip(Layer.build(Layer.fresh(ending(last))))
      assert.strictEqual(other._tag, "Refused")
    }))

  test("lets the run of a slot wait for its jitter, the slot stays what it is", () =>
    Effect.gen(function* () {
      const started: Array<readonly [slot: number, run: RunId]> = []
      const tick = Task.make("tick")
      yield* serving(
        tick.toLayer(() =>
          CurrentRun.use(({ id, slot }) => Effect.sync(() => started.push([slot!, id])))
        ),
      )
      const schedule = Trigger.cron("* * * * * *", { jitter: "900 millis" })
      yield* Layer.build(tick.schedule("spread", schedule, {}))
      yield* until(Effect.sync(() => started.length), (count) => count >= 3)
      const definition = {
        namespace: yield* CurrentNamespace,
        name: "spread" as TriggerName,
        schedule,
      }
      for (const [slot, run] of started) {
        const due = dueOf(definition, slot, slot + 1000)
        const { dueAt } = yield* state(run)
        assert.strictEqual(slot % 1000, 0)
        assert.isAtLeast(DateTime.toEpochMillis(dueAt), due)
      }
    }))

  test("I14 DAG: a child starts only after its parent succeeded, once, with the parent's id on it", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const parent = Task.make("parent", { payload: { isGood: Schema.Boolean } })
      const child = Task.make("child", { payload: { note: Schema.String } })
      const seen: Array<string> = []
      yield* serving(Layer.merge(
        parent.toLayer(({ isGood }) => isGood ? Effect.void : Effect.die(new Error("bad"))),
        child.toLayer(({ note }) => Effect.sync(() => seen.push(note))),
      ))
      yield* Layer.build(child.schedule("behind", Trigger.after(parent), { note: "it is done" }))
      const bad = yield* parent.submit({ isGood: false })
      yield* Effect.exit(parent.result(bad))
      const good = yield* Effect.forEach(
        Array.from({ length: 5 }, () => ({ isGood: true })),
        (payload) => parent.submit(payload),
      )
      yield* until(Effect.sync(() => seen.length), (count) => count >= 5)
      yield* Effect.sleep("100 millis")
      assert.deepStrictEqual(seen, Array.from({ length: 5 }, () => "it is done"))
      const children = yield* Scheduler.use(({ list }) =>
        list({ namespace, task: child.name, limit: 100 })
      )
      assert.sameMembers(children.map(({ after }) => after!), good)
      for (const { after, createdAt, trigger } of children) {
        assert.strictEqual(trigger, "behind" as TriggerName)
        const { finishedAt } = yield* state(after!)
        assert.isAtLeast(createdAt.epochMilliseconds, finishedAt!.epochMilliseconds)
      }
      const records = yield* Triggers.use((triggers) => triggers.records(namespace, "behind", 100))
      assert.deepStrictEqual(
        records.map(({ after, outcome, run }) => `${after?.state} ${outcome} ${run}`).sort(),
        children.map(({ id }) => `Succeeded fired ${id}`).sort(),
      )
    }))

  test("passes on a result that is as it must be, or an event, at once", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const order = Task.make("order", {
        payload: { total: Schema.Int },
        success: Schema.Struct({ total: Schema.Int }),
        error: TooSmall,
      })
      const ship = Task.make("ship", { payload: { total: Schema.Int } })
      const tellOf = Task.make("tell", { payload: { run: Schema.String, state: Schema.String } })
      const shipped: Array<number> = []
      const told: Array<string> = []
      yield* serving(Layer.mergeAll(
        order.toLayer(({ total }) =>
          total > 0 ? Effect.succeed({ total }) : Effect.fail(new TooSmall({ least: 1 }))
        ),
        ship.toLayer(({ total }) => Effect.sync(() => shipped.push(total))),
        tellOf.toLayer(({ run, state }) => Effect.sync(() => told.push(`${run} ${state}`))),
      ))
      yield* Layer.build(Layer.mergeAll(
        ship.schedule(
          "large",
          Trigger.after(order, {
            when: [{ at: "/total", is: "at least", to: 10 }],
            passing: "result",
          }),
        ),
        tellOf.schedule("failed", Trigger.after(order, { on: "failure", passing: "event" })),
      ))
      const began = yield* Clock.currentTimeMillis
      for (const total of [10, 11, 12, 13]) {
        yield* order.submit({ total })
        yield* until(Effect.sync(() => shipped.length), (count) => count === total - 9)
      }
      const millis = (yield* Clock.currentTimeMillis) - began
      // Nobody waits for a poll, which comes once a second.
      assert.isBelow(millis, 3000)
      yield* order.execute({ total: 3 })
      const bad = yield* order.submit({ total: 0 })
      yield* until(Effect.sync(() => told.length), (count) => count === 1)
      assert.deepStrictEqual(shipped, [10, 11, 12, 13])
      assert.deepStrictEqual(told, [`${bad} Failed`])
      const records = yield* until(
        Triggers.use((triggers) => triggers.records(namespace, "large", 100)),
        ({ length }) => length === 5,
      )
      assert.deepInclude(records.find(({ outcome }) => outcome === "skipped")!, {
        reason: "not so: /total is at least 10",
      })
    }))

  test("G7: a missed deadline is an event, and the task that follows is told of it, once", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const scheduler = yield* Scheduler
      const go = yield* Deferred.make<void>()
      const deliver = Task.make("deliver", { policy: { blocking: Blocking.fifo } })
      const alert = Task.make("alert", {
        payload: {
          run: Schema.String,
          task: Schema.String,
          state: Schema.String,
          failure: Schema.Struct({ tag: Schema.String, message: Schema.String }),
        },
      })
      const told: Array<string> = []
      yield* serving(Layer.merge(
        deliver.toLayer(() => Deferred.await(go)),
        alert.toLayer(({ failure, run, state, task }) =>
          Effect.sync(() => told.push([run, task, state, failure.tag].join(" ")))
        ),
      ))
      yield* Layer.build(
        alert.schedule("late", Trigger.after(deliver, { on: ["Expired"], passing: "event" })),
      )
      const first = yield* deliver.submit({}, { deadline: "1 hour" })
      yield* until(state(first), ({ state }) => state === "Running")
      const late = yield* deliver.submit({}, { deadline: "50 millis" })
      yield* until(Effect.sync(() => told.length), (count) => count > 0)
      const [expired] = (yield* scheduler.events(late)).slice(-1)
      assert.deepInclude(expired!, { kind: "Expired", attempt: 0 })
      // Whoever is in time is no alert, nor is the end of one twice.
      yield* Deferred.succeed(go, undefined)
      yield* deliver.result(first)
      yield* deliver.execute({})
      yield* Effect.sleep("500 millis")
      assert.deepStrictEqual(told, [`${late} deliver Expired Expired`])
      const alerts = yield* scheduler.list({ namespace, task: alert.name, limit: 10 })
      assert.deepStrictEqual(alerts.map(({ after }) => after), [late])
    }))

  test("fires nothing of a trigger that follows while it is paused, and says so", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const { pause, put, records, resume } = yield* Triggers
      const step = Task.make("step")
      const next = Task.make("next")
      let count = 0
      yield* serving(Layer.merge(
        step.toLayer(() => Effect.void),
        next.toLayer(() => Effect.sync(() => count++)),
      ))
      yield* Layer.build(next.schedule("behind", Trigger.after("step", { on: "any" }), {}))
      yield* pause(namespace, "behind")
      yield* step.execute({})
      const [skipped] = yield* until(
        records(namespace, "behind", 9),
        ({ length }) => length === 1,
      )
      assert.deepInclude(skipped!, { outcome: "skipped", reason: "its trigger was paused" })
      yield* resume(namespace, "behind")
      yield* step.execute({})
      yield* until(Effect.sync(() => count), (each) => each === 1)
      const circle = {
        namespace,
        name: "circle",
        task: "step",
        schedule: Trigger.after("step"),
        payload: "{}",
      }
      const refused = yield* Effect.flip(put(circle))
      assert.deepInclude(refused, { _tag: "Refused", field: "schedule.after" })
    }))
}

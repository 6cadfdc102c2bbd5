/** I13, I16, I18, I19 and I26: how many at once, in which order, and that orders hold. */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import * as Lane from "../../domain/Lane.ts"
import type { RunId } from "../../domain/RunId.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { serving, type Test, until } from "../program.ts"
import { times, together } from "../world.ts"
import { Ledger, mostAtOnce } from "./Ledger.ts"
import { anotherLeader, servingCuttable } from "./processes.ts"
import { stalls } from "./stalls.ts"

/** It is not to be lost, however busy the machine is. */
const ttl = "20 seconds"
/** So long is the lease of who is to hear of something with its next beat, or is silent for a while. */
const shortMillis = 3000

/** So often an executor falls silent for longer than a beat. */
const cuts = 6

export const ordered = (test: Test): void => {
  test("I13 limit N, B55: no more at once than may be, though executors fall silent for a while", () =>
    Effect.gen(function* () {
      const ledgers = [1, 2].map((limit) => ({
        limit,
        ledger: new Ledger(),
        task: Task.make(`at-most-${limit}`, { policy: { blocking: Blocking.concurrent(limit) } }),
      }))
      let victim: string | undefined
      /** One that lasts is in hand while its executor is silent. */
      const work = (by: string) => {
        const lasts = by === victim
        if (lasts) victim = undefined
        return Effect.sleep(lasts ? shortMillis * 0.8 : 20)
      }
      const handlers = (by: string) =>
        Layer.mergeAll(
          ...ledgers.map(({ ledger, task }) =>
            task.toLayer(() => ledger.around(by, Effect.suspend(() => work(by))))
          ) as [Layer.Layer<never>],
        )
      const stalled = yield* stalls
      const names = ["a", "b"]
      const executors = yield* Effect.forEach(
        names,
        (name) => servingCuttable(handlers(name), { name, ttl: shortMillis }),
      )
      const runs: Array<RunId> = []
      const submitting = yield* Effect.forkChild(Effect.forever(Effect.gen(function* () {
        for (const { task } of ledgers) runs.push(yield* task.submit({}))
        yield* Effect.sleep("100 millis")
      })))
      // The machine may have held somebody up for what is left of a lease after a beat in vain.
      let isHeldUp = false
      for (const nth of times(cuts)) {
        const { beats, cut, mend } = executors[nth % 2]!
        victim = names[nth % 2]
        yield* until(Effect.sync(() => victim), (name) => name === undefined)
        const { answered, unanswered } = { ...beats }
        yield* until(Effect.sync(() => beats.answered), (count) => count > answered)
        yield* cut
        const cutAt = performance.now()
        yield* until(Effect.sync(() => beats.unanswered), (count) => count > unanswered)
        yield* mend
        yield* until(Effect.sync(() => beats.answered), (count) => count > answered + 1)
        isHeldUp ||= stalled(cutAt) > shortMillis / 8
      }
      yield* Fiber.interrupt(submitting)
      for (const run of runs) yield* Scheduler.use(({ ended }) => ended(run))
      const inVain = executors.reduce((sum, { beats }) => sum + beats.unanswered, 0)
      assert.isAtLeast(inVain, cuts)
      for (const { ledger, limit } of ledgers) {
        const begun = ledger.of("started")
        assert.isAtLeast(begun.length, 20)
        if (!isHeldUp) {
          assert.strictEqual(
            begun.length,
            new Set(begun.map(({ run }) => run)).size,
            "none is lost",
          )
          assert.isAtMost(mostAtOnce(ledger.intervals()), limit)
        }
      }
    }))

  test("I16 cancel, pause, delete, B17: after the answer nothing of it begins", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const scheduler = yield* Scheduler
      const triggers = yield* Triggers
      const namespace = yield* CurrentNamespace
      const quick = Task.make("quick")
      const long = Task.make("long")
      yield* serving(quick.toLayer(() => ledger.around("b", Effect.sleep("1 millis"))), { ttl })
      yield* serving(long.toLayer(() => ledger.around("c", Effect.never)), {
        name: "c",
        ttl: shortMillis,
      })
      const stalled = yield* stalls
      const running = yield* long.submit({})
      yield* ledger.until((entries) => entries.length === 1)
      yield* scheduler.cancel(running)
      const answeredAt = performance.now()
      yield* ledger.until((entries) => entries.some(({ kind }) => kind === "stopped"))
      const stoppedAt = ledger.of("stopped")[0]!.at
      assert.isAtMost(stoppedAt - answeredAt, shortMillis / 4 + stalled(answeredAt))

      // Some are granted by then, some are not, and some are on their way.
      const answers = yield* together(
        times(60).map((n) =>
          Effect.gen(function* () {
            const run = yield* quick.submit({})
            yield* Effect.sleep(n % 7)
            return { run, answer: yield* scheduler.cancel(run), at: performance.now() }
          })
        ),
      )
      for (const name of ["paused", "deleted"]) {
        yield* Layer.build(quick.schedule(name, Trigger.cron("* * * * * *"), {}))
      }
      const fired = (name: string) => triggers.records(namespace, name, 9)
      for (const name of ["paused", "deleted"]) {
        yield* until(fired(name), ({ length }) => length > 0)
      }
      yield* triggers.pause(namespace, "paused")
      const atPause = yield* scheduler.list({ namespace, task: quick.name, limit: 500 })
      yield* triggers.remove(namespace, "deleted")
      const atRemoval = yield* scheduler.list({ namespace, task: quick.name, limit: 500 })
      yield* Effect.sleep("2500 millis")

      for (const { answer, at, run } of answers) {
        const starts = ledger.of("started").filter((each) => each.run === run)
        assert.isAtMost(starts.length, 1)
        if (answer === "confirmed") assert(starts.every((start) => start.at <= at), `${run}`)
      }
      const now = yield* scheduler.list({ namespace, task: quick.name, limit: 500 })
      const of = (views: typeof now, name: string) =>
        views.filter(({ trigger }) => trigger === name).length
      assert.strictEqual(of(now, "paused"), of(atPause, "paused"))
      assert.strictEqual(of(now, "deleted"), of(atRemoval, "deleted"))
    }))

  test("I18 leaders harmless: two that do everything cost work, and break nothing", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const namespace = yield* CurrentNamespace
      const triggers = yield* Triggers
      yield* anotherLeader
      yield* anotherLeader
      const tick = Task.make("tick")
      const queue = Task.make("queue", {
        payload: { n: Schema.Int },
        policy: { blocking: Blocking.fifo },
      })
      const ticks = new Ledger()
      for (const name of ["a", "b"]) {
        yield* serving(
          Layer.merge(
            tick.toLayer(() => ticks.around(name, Effect.void)),
            queue.toLayer(() => ledger.around(name, Effect.sleep("5 millis"))),
          ),
          { name, ttl },
        )
      }
      yield* Layer.build(tick.schedule("secondly", Trigger.cron("* * * * * *"), {}))
      const runs: Array<RunId> = []
      for (const n of times(30)) {
        runs.push(yield* queue.submit({ n }, n % 3 === 0 ? { delay: "20 millis" } : {}))
      }
      for (const run of runs) yield* queue.result(run)
      assert.strictEqual(mostAtOnce(ledger.intervals()), 1)
      assert.strictEqual(ledger.of("started").length, runs.length)
      yield* ticks.until((entries) => entries.filter(({ kind }) => kind === "ended").length >= 3)
      yield* triggers.pause(namespace, "secondly")
      yield* Effect.sleep("200 millis")
      const slots = ticks.of("started").map(({ slot }) => slot!).toSorted((a, b) => a - b)
      assert.deepStrictEqual(slots, slots.map((_, nth) => slots[0]! + 1000 * nth))
    }))

  test("I19 outbox: each end is told once, in order, by however many tell", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      yield* anotherLeader
      const told: Array<string> = []
      const step = Task.make("step")
      const tell = Task.make("tell", { payload: { run: Schema.String, state: Schema.String } })
      let isGood = false
      yield* serving(
        Layer.merge(
          step.toLayer(() => isGood ? Effect.void : Effect.die(new Error("no"))),
          tell.toLayer(({ run, state }) => Effect.sync(() => told.push(`${run} ${state}`))),
        ),
        { ttl },
      )
      yield* Layer.build(
        tell.schedule("ends", Trigger.after(step, { on: "any", passing: "event" })),
      )
      const runs = yield* Effect.forEach(times(15), () => step.submit({}))
      const isTold = (count: number) =>
        until(Effect.sync(() => told.length), (length) => length >= count)
      yield* isTold(15)
      isGood = true
      for (const run of runs) yield* scheduler.revive(run)
      yield* isTold(30)
      yield* Effect.sleep("300 millis")
      const of = (state: string) => runs.map((run) => `${run} ${state}`).toSorted()
      assert.deepStrictEqual(told.slice(0, 15).toSorted(), of("Failed"))
      assert.deepStrictEqual(told.slice(15).toSorted(), of("Succeeded"))
      const records = yield* Triggers.use((triggers) => triggers.records(namespace, "ends", 100))
      assert.strictEqual(records.length, 30)
    }))

  test("I26 priority: of those that wait the better level begins first, and each begins", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const goOn = yield* Deferred.make<void>()
      const task = Task.make("levels", { payload: { as: Schema.String } })
      yield* serving(
        task.toLayer(({ as }) =>
          Effect.suspend(() => {
            order.push(as)
            return as === "first" ? Deferred.await(goOn) : Effect.void
          })
        ),
        { concurrency: 1, queueLength: 0, prefetch: 0, ttl },
      )
      const first = yield* task.submit({ as: "first" })
      yield* until(Effect.sync(() => order.length), (length) => length === 1)
      const runs: Array<RunId> = []
      for (const n of times(4)) {
        for (const level of Lane.levels.toReversed()) {
          runs.push(yield* task.submit({ as: `${level} ${n}` }, { level }))
        }
      }
      yield* Deferred.succeed(goOn, undefined)
      for (const run of [first, ...runs]) yield* task.result(run)
      const levels = Lane.levels.flatMap((level) => times(4).map((n) => `${level} ${n}`))
      assert.deepStrictEqual(order, ["first", ...levels])
    }))
}

import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Schema, type Scope } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { movableClock } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { TriggerDefinition } from "../domain/Trigger.ts"
import { Required } from "../services/Required.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import type { Lock } from "../services/Lock.ts"
import type { Transport } from "../services/Transport.ts"
import type { Wakeups } from "../services/Wakeups.ts"
import { CurrentRun } from "./CurrentRun.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { type TriggerInput, Triggers } from "./Triggers.ts"

type World = Storage | Wakeups | Lock | Transport | Scheduler | Triggers

const clock = movableClock()

const worldOver = (memory: Layer.Layer<Storage | Wakeups | Lock>): Layer.Layer<World> =>
  Layer.mergeAll(
    Scheduler.layerWith({ sweepInterval: "100 millis" }),
    Triggers.layerWith({ auditInterval: "1 second", auditPatience: "1 second" }),
    Direct.layer,
  ).pipe(Layer.provide(LocalOwnership.layer), Layer.provideMerge(memory))

/** A world of its own, whose storage clock can be moved. */
const inWorld = <A, E>(test: Effect.Effect<A, E, World | Scope.Scope>) =>
  Effect.provide(test, worldOver(Layer.provide(Memory.layer, clock.layer)))

const serving = (handlers: Layer.Layer<never, never, Executor>) =>
  Layer.build(Layer.provide(handlers, Executor.layerWith({ ttl: "4 seconds" })))

/** Waits for a fact. */
const until = <A, E, R>(look: Effect.Effect<A, E, R>, isIt: (value: A) => boolean) =>
  Effect.gen(function* () {
    for (;;) {
      const value = yield* look
      if (isIt(value)) return value
      yield* Effect.sleep("10 millis")
    }
  })

const Echo = Task.make("echo", { payload: { n: Schema.Int }, success: Schema.Int })
const echo = Echo.toLayer(({ n }) => Effect.succeed(n))
const yearly = Trigger.cron("0 0 1 1 *")

describe("triggers", () => {
  it.live("a task that says too little of itself is not introduced, and its trigger refused", () =>
    inWorld(Effect.gen(function* () {
      const { tasks } = yield* Storage
      const scheduled = (task: Pick<Task.Task, "schedule">) =>
        Effect.scoped(Layer.build(
          Layer.fresh(task.schedule("yearly", yearly, {})).pipe(
            Layer.provide(Layer.fresh(Triggers.layerClient)),
            Layer.provide(Layer.succeed(Required, ["owner"])),
          ),
        ))
      const short = Task.make("short")
      const refused = yield* Effect.flip(scheduled(short))
      assert.deepInclude(refused, { _tag: "Refused", field: "short.owner" })
      assert.isTrue(Option.isNone(yield* tasks.find(standard, short.name)))
      const whole = Task.make("short", { owner: "team-bells" })
      yield* scheduled(whole)
      // An older program beside it says less of what is known.
      yield* scheduled(short)
      const found = Option.getOrThrow(yield* tasks.find(standard, short.name))
      assert.deepEqual(found, { definition: whole.definition(standard), revision: 1 })
    })))

  it.live("J14: one fired by hand starts within a second, once for each request", () =>
    inWorld(Effect.gen(function* () {
      const triggers = yield* Triggers
      yield* serving(echo)
      yield* Layer.build(Echo.schedule("yearly", yearly, { n: 7 }))
      const began = yield* Effect.clockWith((each) => each.monotonicTimeNanos)
      const fired = yield* triggers.fire(standard, "yearly", { request: "now", by: "Ada" })
      assert.isTrue(fired.isNew)
      assert.strictEqual(yield* Echo.result(fired.run), 7)
      const ended = yield* Effect.clockWith((each) => each.monotonicTimeNanos)
      assert.isBelow(Number(ended - began) / 1e6, 1000)
      const again = yield* triggers.fire(standard, "yearly", { request: "now" })
      assert.deepStrictEqual(again, { run: fired.run, isNew: false })
      const other = yield* triggers.fire(standard, "yearly", {
        request: "other",
        payload: '{"n":9}',
      })
      assert.strictEqual(yield* Echo.result(other.run), 9)
      const conflict = yield* Effect.flip(
        triggers.fire(standard, "yearly", { request: "other", payload: '{"n":10}' }),
      )
      assert.deepInclude(conflict, { _tag: "KeyConflict", run: other.run })
      const [, record] = yield* triggers.records(standard, "yearly", 10)
      assert.deepInclude(record!.asked, { kind: "manual", by: "Ada" })
      const unknown = yield* Effect.flip(triggers.fire(standard, "daily", { request: "x" }))
      assert.strictEqual(unknown._tag, "TriggerUnknown")
    })))

  it.live("one that follows a task has no slots to fill in, and its payload is not made up", () =>
    inWorld(Effect.gen(function* () {
      const triggers = yield* Triggers
      yield* serving(echo)
      const put = (name: string, more: Partial<TriggerInput>) =>
        triggers.put({
          namespace: standard,
          name,
          task: Echo.name,
          schedule: Trigger.after("other"),
          payload: '{"n":7}',
          ...more,
        })
      yield* put("behind", {})
      yield* put("passing", { schedule: Trigger.after("other", { passing: "result" }) })
      const now = yield* Storage.use((storage) => storage.now)
      const range = { request: "r", from: now - 60_000, to: now - 1 }
      const filled = yield* Effect.flip(triggers.backfill(standard, "behind", range))
      assert.deepInclude(filled, { _tag: "Refused", field: "name" })
      const fired = yield* triggers.fire(standard, "behind", { request: "a" })
      assert.strictEqual(yield* Echo.result(fired.run), 7)
      const unsaid = yield* Effect.flip(triggers.fire(standard, "passing", { request: "b" }))
      assert.deepInclude(unsaid, { _tag: "Refused", field: "payload" })
      const said = { request: "c", payload: '{"n":9}' }
      const passed = yield* triggers.fire(standard, "passing", said)
      assert.strictEqual(yield* Echo.result(passed.run), 9)
      for (const whileRunning of ["skip", "fail"] as const) {
        const refused = yield* Effect.flip(put("other", { whileRunning }))
        assert.deepInclude(refused, { _tag: "Refused", field: "whileRunning" })
      }
      yield* put("other", { whileRunning: "allow" })
    })))

  it.live("J13: after a pause no slot makes a run, and those that pass are shown as paused", () =>
    inWorld(Effect.gen(function* () {
      const triggers = yield* Triggers
      const scheduler = yield* Scheduler
      yield* Layer.build(Echo.schedule("often", Trigger.every("1 second"), { n: 1 }))
      const records = triggers.records(standard, "often", 100)
      yield* until(records, ({ length }) => length > 0)
      yield* triggers.pause(standard, "often")
      const before = yield* scheduler.list({ namespace: standard, limit: 100 })
      yield* clock.elapse(Duration.seconds(5))
      yield* Effect.sleep("1200 millis")
      assert.deepEqual(yield* scheduler.list({ namespace: standard, limit: 100 }), before)
      const [passing] = yield* records
      assert.deepInclude(passing, { outcome: "skipped", reason: "paused" })
      assert.isAtLeast((passing!.through - passing!.slot) / 1000, 4)
      yield* triggers.resume(standard, "often")
      const kept = yield* until(records, (all) => all.some(({ outcome }) => outcome === "skipped"))
      const skipped = kept.filter(({ outcome }) => outcome === "skipped")
      assert.strictEqual(skipped.length, 1)
      assert.strictEqual(skipped[0]!.slot, passing!.slot)
      const { length } = before
      yield* until(
        scheduler.list({ namespace: standard, limit: 100 }),
        (runs) => runs.length > length,
      )
    })))

  it.live("a range is filled in, at its pace; to repeat it is to go on; it can be cancelled", () =>
    inWorld(Effect.gen(function* () {
      const triggers = yield* Triggers
      const { now } = yield* Storage
      const seen: Array<number> = []
      yield* serving(Echo.toLayer(({ n }) =>
        Effect.map(CurrentRun, ({ slot }) => {
          seen.push(slot!)
          return n
        })
      ))
      yield* Layer.build(Echo.schedule("hourly", Trigger.cron("0 * * * *"), { n: 1 }))
      const hour = 3_600_000
      const to = Math.floor((yield* now) / hour) * hour
      const range = { request: "gap", from: to - 5 * hour, to }
      const dry = yield* triggers.backfill(standard, "hourly", { ...range, isDry: true })
      assert.deepEqual(dry.slots.map(({ answer }) => answer), Array(5).fill("would fire"))
      const refused = yield* Effect.flip(
        triggers.backfill(standard, "hourly", { ...range, max: 4 }),
      )
      assert.deepInclude(refused, { _tag: "Refused", field: "max" })
      const paced = yield* triggers.backfill(standard, "hourly", { ...range, pace: "1 hour" })
      const runs = paced.slots.map(({ run }) => run!)
      yield* Echo.result(runs[0]!)
      assert.deepEqual(seen, [range.from])
      const scheduler = yield* Scheduler
      const views = yield* Effect.forEach(runs.slice(1), scheduler.find)
      assert.deepEqual(views.map(({ state }) => state), Array(4).fill("Scheduled"))
      const again = yield* triggers.backfill(standard, "hourly", range)
      assert.deepEqual(
        again.slots,
        paced.slots.map(({ run, slot }) => ({ slot, run, answer: "known" as const })),
      )
      assert.deepEqual(yield* triggers.cancelBackfill(standard, "hourly", "gap"), {
        confirmed: 4,
        requested: 0,
        ended: 1,
      })
      const none = yield* Effect.flip(triggers.cancelBackfill(standard, "hourly", "other"))
      assert.deepInclude(none, { _tag: "Refused", field: "request" })
      const early = yield* Effect.flip(
        triggers.backfill(standard, "hourly", { ...range, to: to + 2 * hour }),
      )
      assert.deepInclude(early, { _tag: "Refused", field: "to" })
    })))

  it.live("a backfill whose trigger changes in the middle says what is filled in", () => {
    // From the second step on there are too many slots for it.
    const Changing = Layer.effect(
      Storage,
      Effect.map(Storage, (storage) => {
        let isFirst = true
        const { ask, list, put } = storage.triggers
        return {
          ...storage,
          triggers: {
            ...storage.triggers,
            ask: (items, isDry) =>
              Effect.tap(ask(items, isDry), () => {
                if (!isFirst || isDry) return Effect.void
                isFirst = false
                return Effect.flatMap(list(standard), ([view]) =>
                  Effect.orDie(put(
                    new TriggerDefinition({
                      ...view!.definition,
                      schedule: Trigger.cron("* * * * *"),
                    }),
                  )))
              }),
          },
        } satisfies Storage["Service"]
      }),
    ).pipe(Layer.provideMerge(Memory.layer))
    return Effect.gen(function* () {
      const triggers = yield* Triggers
      const { now, runs, tasks } = yield* Storage
      yield* Layer.build(Echo.schedule("hourly", Trigger.cron("0 * * * *"), { n: 1 }))
      const hour = 3_600_000
      const to = yield* now
      const range = { request: "gap", from: to - 150 * hour, to, max: 150 }
      yield* triggers.backfill(standard, "hourly", { ...range, isDry: true })
      const cutOff = yield* Effect.flip(triggers.backfill(standard, "hourly", range))
      assert.deepInclude(cutOff, { _tag: "BackfillCutOff", filled: 100 })
      assert.match(cutOff.message, /^100 slots .*: max: there are more than 150 slots/)
      const made = yield* runs.list({ namespace: standard, limit: 500 })
      assert.strictEqual(made.length, 100)
      const refused = yield* Effect.flip(triggers.backfill(standard, "hourly", range))
      assert.strictEqual(refused._tag, "Refused")
      assert.isTrue(Option.isSome(yield* tasks.find(standard, Echo.name as never)))
    }).pipe(Effect.scoped, Effect.provide(worldOver(Changing)))
  })

  it.live("Q12: a permanent task is always alive, once; a pause stops it", () =>
    inWorld(Effect.gen(function* () {
      const triggers = yield* Triggers
      const scheduler = yield* Scheduler
      const alive = new Set<number>()
      let most = 0
      const Always = Task.make("always", { success: Schema.Int })
      const Live = Always.toLayer(() =>
        Effect.gen(function* () {
          const { id } = yield* CurrentRun
          yield* Effect.acquireUseRelease(
            Effect.sync(() => {
              alive.add(id)
              most = Math.max(most, alive.size)
            }),
            () => id === first ? Effect.never : Effect.die(new Error("crashed")),
            () => Effect.sync(() => alive.delete(id)),
          )
          return 1
        })
      )
      let first: number | undefined
      yield* serving(Live)
      yield* Layer.build(
        Always.schedule("always", Trigger.permanent({ delay: "100 millis", growth: 2 }), {}),
      )
      const records = triggers.records(standard, "always", 50)
      const crashed = yield* until(records, ({ length }) => length >= 3)
      const [c, b, a] = crashed.slice(-3)
      assert.isAtLeast(c!.slot - b!.slot, b!.slot - a!.slot, "it grows")
      assert.strictEqual(most, 1)
      // From here on its runs stay.
      first = crashed[0]!.run! + 1
      const next = yield* until(records, ([latest]) => latest!.run !== crashed[0]!.run)
      first = next[0]!.run
      yield* triggers.pause(standard, "always")
      const last = (yield* records)[0]!.run!
      yield* until(scheduler.find(last), ({ state }) => state === "Cancelled" || state === "Failed")
      const { length } = yield* records
      yield* clock.elapse(Duration.minutes(10))
      yield* Effect.sleep("1500 millis")
      assert.strictEqual((yield* records).length, length, "none is started while it is paused")
      yield* triggers.resume(standard, "always")
      yield* until(records, (all) => all.length > length)
      const refused = yield* Effect.flip(triggers.fire(standard, "always", { request: "one more" }))
      assert.strictEqual(refused._tag, "Refused")
      yield* triggers.remove(standard, "always")
    })))

  for (const [how, isLost] of [["", false], [", also asked for again", true]] as const) {
    it.live(`Q12: the run of a permanent trigger ends with it, and when it is one no more${how}`, () =>
      Effect.gen(function* () {
        let fails = isLost ? 1 : 0
        const flaky = Layer.effect(
          Storage,
          Effect.map(Storage, (storage) => ({
            ...storage,
            runs: {
              ...storage.runs,
              cancel: (...args: Parameters<typeof storage.runs.cancel>) =>
                fails-- > 0
                  ? Effect.fail(
                    new StorageUnavailable({
                      storage: "memory",
                      operation: "cancel",
                      cause: "on purpose",
                    }),
                  )
                  : storage.runs.cancel(...args),
            },
          })),
        )
        yield* Effect.gen(function* () {
          const triggers = yield* Triggers
          const scheduler = yield* Scheduler
          const Always = Task.make("always")
          yield* serving(Always.toLayer(() => Effect.never))
          const permanent = Always.schedule(
            "always",
            Trigger.permanent({ delay: "100 millis" }),
            {},
          )
          const records = triggers.records(standard, "always", 50)
          const again = <A, E, R>(order: Effect.Effect<A, E, R>) =>
            isLost ? Effect.andThen(Effect.ignore(order), order) : order

          yield* Layer.build(permanent)
          const [first] = yield* until(records, ({ length }) => length > 0)
          fails = isLost ? 1 : 0
          yield* again(
            Layer.build(Layer.fresh(Always.schedule("always", Trigger.cron("0 0 1 1 *"), {}))),
          )
          yield* until(scheduler.find(first!.run!), ({ state }) => state === "Cancelled")

          yield* Layer.build(Layer.fresh(permanent))
          const [second] = yield* until(records, ([latest]) => latest!.run !== first!.run)
          fails = isLost ? 1 : 0
          yield* again(triggers.remove(standard, "always"))
          yield* until(scheduler.find(second!.run!), ({ state }) => state === "Cancelled")
        }).pipe(Effect.provide(worldOver(Layer.provideMerge(flaky, Memory.layer))))
      }).pipe(Effect.scoped))
  }

  it.live("the audit finds a slot that was dropped, and nothing but that", () =>
    Effect.gen(function* () {
      const state = new Memory.MemoryState({ finished: 1000, records: 1000 })
      const memory = Layer.provide(Memory.layerOver(state), clock.layer)
      yield* Effect.gen(function* () {
        const triggers = yield* Triggers
        yield* serving(echo)
        for (const name of ["busy", "quiet"]) {
          yield* Layer.build(Echo.schedule(name, Trigger.cron("* * * * *"), { n: 1 }))
        }
        yield* triggers.pause(standard, "quiet")
        const records = triggers.records(standard, "busy", 50)
        const audit = triggers.audit(standard, 10)
        let length = 0
        const minute = Effect.fnUntraced(function* () {
          yield* clock.elapse(Duration.minutes(1))
          length++
          yield* until(records, (all) => all.length >= length)
        })
        // Minute by minute, so that the planner is never behind.
        for (let minutes = 0; minutes < 3; minutes++) yield* minute()
        const busy = [...state.triggers.values()]
          .find(({ view: { definition: { name } } }) => name === "busy")!
        // No storage of ours lets a slot go by like this. One that the audit has looked at is no good.
        let dropped: typeof busy.records[number] | undefined
        while (dropped === undefined) {
          yield* minute()
          const last = busy.records.pop()!
          const { judgedUpTo } = yield* audit
          if (judgedUpTo <= last.slot) dropped = last
          else busy.records.push(last)
        }
        length--
        yield* triggers.resume(standard, "quiet")
        for (let minutes = 0; minutes < 3; minutes++) yield* minute()
        const { findings } = yield* until(audit, (each) => each.judgedUpTo > dropped.slot)
        assert.deepEqual(
          findings.map(({ kind, name, slot, through }) => ({
            kind,
            name: `${name}`,
            slot,
            through,
          })),
          [{ kind: "missing", name: "busy", slot: dropped.slot, through: dropped.slot }],
        )
      }).pipe(Effect.provide(worldOver(memory)))
    }))
})

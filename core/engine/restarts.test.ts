/** Schedules across restarts and outages: all that they need is in the storage. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Layer } from "effect"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind, type Between } from "../contract/behind.ts"
import { movableClock, withClockOff } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
import type { Fired } from "../services/TriggerStorage.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const world = () => {
  const clock = movableClock()
  const state = new Memory.MemoryState({ finished: 1000, records: 10_000 })
  const memory = Layer.provide(Memory.layerOver(state), clock.layer)
  const planner = Triggers.layer.pipe(Layer.provide(LocalOwnership.layer))

  /** What a process does from its start to its end. */
  const process = <A, E>(life: Effect.Effect<A, E, Triggers | Storage>) =>
    Effect.provide(life, Layer.provideMerge(planner, memory))
  const put = (schedule: ReturnType<typeof Trigger.cron>) =>
    process(Triggers.use((triggers) =>
      triggers.put({
        namespace: standard,
        name: "it",
        task: "job",
        schedule,
        payload: "{}",
        misfire: Trigger.once,
      })
    ))
  const records = () => [...state.triggers.values()][0]!.records
  /** Until the planner has done what is due, as it does right after its start. */
  const caughtUp = Effect.gen(function* () {
    const { now } = yield* Storage
    for (;;) {
      const { cursor } = [...state.triggers.values()][0]!.view
      if (cursor === undefined || cursor > (yield* now)) return
      yield* Effect.sleep("2 millis")
    }
  })
  /** A planner to whom all that it asks of the storage goes through `between`. */
  const planning = (
    services: Context.Context<Layer.Success<typeof memory>>,
    between: Between,
  ) =>
    Layer.build(Layer.fresh(planner)).pipe(
      Effect.provideContext(
        Context.add(services, Storage, behind(Context.get(services, Storage), between)),
      ),
    )
  return { clock, state, memory, planner, planning, process, put, records, caughtUp }
}

const day = 86_400_000

describe("restarts", () => {
  it.live(
    "B27, B64: 360 restarts in 90 days, and a weekly trigger fires each week",
    () =>
      Effect.gen(function* () {
        const { caughtUp, clock, process, put, records } = world()
        yield* put(Trigger.cron("0 12 * * MON"))
        for (let restart = 0; restart < 360; restart++) {
          yield* clock.elapse(Duration.hours(6))
          yield* process(caughtUp)
        }
        const slots = records().map(({ slot }) => slot)
        assert.isTrue(slots.length === 12 || slots.length === 13, `${slots.length} fires`)
        assert.deepStrictEqual(slots, slots.map((_, week) => slots[0]! + week * 7 * day))
        assert.isTrue(records().every(({ outcome }) => outcome === "fired"))
      }),
    60_000,
  )

  it.live("B28: 14 days down, every 5 seconds: one run, and one record for all before it", () =>
    Effect.gen(function* () {
      const { caughtUp, clock, process, put, records, state } = world()
      yield* put(Trigger.every("5 seconds"))
      yield* clock.elapse(Duration.days(14))
      yield* process(caughtUp)
      const misfired = records().filter(({ outcome }) => outcome === "coalesced")
      assert.strictEqual(misfired.length, 1)
      const [{ run, slot, through }] = misfired as [(typeof misfired)[number]]
      assert.isAbove((through - slot) / 5000, 241_000)
      const fired = records().find((each) => each.outcome === "fired")!
      assert.strictEqual(fired.run, run)
      assert.strictEqual(fired.slot, through + 5000)
      // Those of the last minute are just late.
      assert.isAtMost(state.runs.size, 14)
      assert.strictEqual(records().length, state.runs.size + 1)
    }))

  it.live("B25: planners whose clocks are 90 seconds apart fire as those with one clock", () =>
    Effect.gen(function* () {
      const { memory, planner, put, records, state } = world()
      yield* put(Trigger.cron("* * * * * *"))
      const storage = yield* Layer.build(memory)
      for (const off of [-90_000, 0, 90_000]) {
        yield* Layer.build(Layer.fresh(planner)).pipe(
          Effect.provideContext(storage),
          withClockOff(off),
        )
      }
      while (records().length < 3) yield* Effect.sleep("20 millis")
      const slots = records().map(({ slot }) => slot)
      assert.deepStrictEqual(slots, slots.map((_, nth) => slots[0]! + 1000 * nth))
      for (const { latenessMillis, outcome } of records()) {
        assert.strictEqual(outcome, "fired")
        assert.isTrue(latenessMillis >= 0 && latenessMillis < 10_000, `${latenessMillis}`)
      }
      assert.strictEqual(state.runs.size, records().length)
    }).pipe(Effect.scoped))

  it.live("B29: who was held up while others fired ten minutes of slots fires none of them", () =>
    Effect.gen(function* () {
      const { caughtUp, clock, memory, planning, process, put, records, state } = world()
      yield* put(Trigger.cron("* * * * *"))
      yield* clock.elapse(Duration.seconds(61))
      const services = yield* Layer.build(memory)
      const held = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const answers: Array<string> = []
      yield* planning(
        services,
        (name, call) =>
          name !== "fire" ? call : Deferred.succeed(held, undefined).pipe(
            Effect.andThen(Deferred.await(goOn)),
            Effect.andThen(call),
            Effect.tap((fired) =>
              Effect.sync(() =>
                answers.push(...(fired as ReadonlyArray<Fired>).map(({ _tag }) => _tag))
              )
            ),
          ),
      )
      yield* Deferred.await(held)
      for (let minute = 0; minute < 10; minute++) {
        yield* process(caughtUp)
        yield* clock.elapse(Duration.minutes(1))
      }
      const before = records().length
      assert.isAtLeast(before, 10)
      yield* Deferred.succeed(goOn, undefined)
      while (answers.length === 0) yield* Effect.sleep("2 millis")
      assert.strictEqual(answers[0], "Already")
      yield* caughtUp.pipe(Effect.provideContext(services))
      const slots = records().map(({ slot }) => slot)
      assert.strictEqual(new Set(slots).size, slots.length)
      assert.strictEqual(state.runs.size, slots.length)
    }).pipe(Effect.scoped))

  it.live("I22: a clock that is set back as a planner fires holds up no other trigger", () =>
    Effect.gen(function* () {
      const { clock, memory, planning, put, state } = world()
      yield* put(Trigger.cron("* * * * * *"))
      const services = yield* Layer.build(memory)
      let isSet = false
      yield* planning(
        services,
        (name, call) =>
          name !== "fire" || isSet ? call : Effect.suspend(() => {
            isSet = true
            return Effect.andThen(clock.set(-3_600_000), call)
          }),
      )
      while (!isSet) yield* Effect.sleep("10 millis")
      yield* Triggers.use(({ put }) =>
        put({
          namespace: standard,
          name: "other",
          task: "job",
          schedule: Trigger.cron("* * * * * *"),
          payload: "{}",
        })
      ).pipe(Effect.provide(Layer.provide(Triggers.layerClient, Layer.succeedContext(services))))
      const other = () => [...state.triggers.values()].at(-1)!.records
      while (other().length < 2) yield* Effect.sleep("10 millis")
    }).pipe(Effect.scoped))

  it.live("I22: a clock that is set back as a planner aims lets it sleep no longer", () =>
    Effect.gen(function* () {
      const { clock, memory, planning, put, records } = world()
      yield* put(Trigger.cron("* * * * * *"))
      const services = yield* Layer.build(memory)
      let isSet = false
      yield* planning(
        services,
        (name, call) =>
          name !== "due" || isSet ? call : Effect.tap(call, (due) => {
            const { triggers } = due as Effect.Success<
              ReturnType<Storage["Service"]["triggers"]["due"]>
            >
            isSet = triggers.length > 0
            return isSet ? clock.set(-3_600_000) : Effect.void
          }),
      )
      while (!isSet) yield* Effect.sleep("10 millis")
      yield* Effect.sleep("100 millis")
      yield* clock.set(3_600_000)
      while (records().length < 2) yield* Effect.sleep("10 millis")
    }).pipe(Effect.scoped))

  it.live("a planner that is paused as it asks for the time fires when it is back, and not later", () =>
    Effect.gen(function* () {
      const { memory, planning, put, records } = world()
      yield* put(Trigger.cron("* * * * * *"))
      const services = yield* Layer.build(memory)
      let isPaused = false
      yield* planning(
        services,
        (name, call) =>
          name !== "now" || isPaused ? call : Effect.tap(call, () => {
            isPaused = true
            return Effect.sleep("4 seconds")
          }),
      )
      while (records().length === 0) yield* Effect.sleep("10 millis")
      // What was due just after it had asked was due four seconds ago.
      assert.isAtMost(records()[0]!.latenessMillis, 6000)
    }).pipe(Effect.scoped))

  it.live("B30: the newest run is deleted, and 20 restarts later the next slot fires once", () =>
    Effect.gen(function* () {
      const { caughtUp, clock, process, put, records, state } = world()
      yield* put(Trigger.cron("0 12 * * *"))
      yield* clock.elapse(Duration.days(1))
      yield* process(caughtUp)
      const [first] = records()
      state.runs.delete(first!.run!)
      for (let restart = 0; restart < 20; restart++) yield* process(caughtUp)
      assert.strictEqual(records().length, 1)
      yield* clock.elapse(Duration.days(1))
      for (let restart = 0; restart < 20; restart++) yield* process(caughtUp)
      assert.deepStrictEqual(records().map(({ slot }) => slot), [first!.slot, first!.slot + day])
      assert.strictEqual(state.runs.size, 1)
    }))
})

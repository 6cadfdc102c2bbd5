/** Schedules across restarts and outages: all that they need is in the storage. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import * as Memory from "../../adapters/memory/mod.ts"
import { movableClock } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
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
  return { clock, state, process, put, records, caughtUp }
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

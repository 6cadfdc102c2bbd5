/**
 * How soon things happen while nothing is wrong, in real time over the memory storage: each bound is
 * that of the capability in its name, and far from what an idle machine needs.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { until } from "../contract/program.ts"
import { movableClock, times } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import { Executor, type ExecutorOptions } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const Work = Task.make("work")

const engine = Layer.mergeAll(Scheduler.layer, Direct.layer).pipe(
  Layer.provide(LocalOwnership.layer),
)
const world = Layer.provideMerge(engine, Memory.layer)

const serving = (work: Effect.Effect<void>, options: ExecutorOptions = {}) =>
  Layer.build(
    Layer.provide(Work.toLayer(() => work), Executor.layerWith({ ttl: "4 seconds", ...options })),
  )

const submitted = (count: number) =>
  Scheduler.use((scheduler) =>
    scheduler.submitAll(
      times(count).map(() => ({ task: Work.name, payload: "{}", policy: Work.policy })),
    )
  )

const runsThere = Scheduler.use((scheduler) =>
  scheduler.list({ namespace: standard, limit: 20_000 })
)

const p99 = (millis: ReadonlyArray<number>) =>
  millis.toSorted((a, b) => a - b)[Math.floor(millis.length * 0.99)]!

/** At one instant, a hundred milliseconds apart from the next ones, as many each. */
const triggersAt = Effect.fnUntraced(function* (count: number, instants: number, from: number) {
  const triggers = yield* Triggers
  for (const nth of times(count)) {
    yield* triggers.put({
      namespace: standard,
      name: `nr-${nth}`,
      task: Work.name,
      schedule: Trigger.at(new Date(from + 100 * (nth % instants))),
      payload: "{}",
    })
  }
})

const clock = movableClock()
const planner = Layer.fresh(Layer.provide(Triggers.layer, LocalOwnership.layer))

describe("an engine in real time", () => {
  it.live("J19: of a thousand runs due within a second, 99 % begin within a second of it", () =>
    Effect.gen(function* () {
      yield* serving(Effect.void)
      // All are kept before the first is due, also where that takes long.
      yield* triggersAt(1000, 10, (yield* Clock.currentTimeMillis) + 4000)
      const views = yield* until(
        runsThere,
        (views) => views.length === 1000 && views.every(({ state }) => state === "Succeeded"),
      )
      const late = views.map(({ claimedAt, slot }) =>
        DateTime.toEpochMillis(claimedAt!) - DateTime.toEpochMillis(slot!)
      )
      assert.isAtLeast(Math.min(...late), 0, "none before its time")
      assert.isBelow(p99(late), 1000)
    }).pipe(Effect.provide(Layer.provideMerge(planner, world))))

  it.effect("Q12: a permanent task begins again within a second, whatever else fires", () =>
    Effect.gen(function* () {
      const triggers = yield* Triggers
      yield* serving(Effect.void)
      const schedules = {
        soon: Trigger.permanent({ delay: "100 millis", growth: 1 }),
        later: Trigger.permanent({ delay: "1500 millis", growth: 1 }),
        beside: Trigger.every("1 second"),
      }
      for (const [name, schedule] of Object.entries(schedules)) {
        yield* triggers.put({ namespace: standard, name, task: Work.name, schedule, payload: "{}" })
      }
      for (const _ of times(3000)) yield* TestClock.adjust("10 millis")
      const views = yield* runsThere
      const ofTrigger = Map.groupBy(views, ({ trigger }) => trigger)
      const most = (name: keyof typeof schedules) => {
        const made = ofTrigger.get(TriggerName.make(name))!.map(({ createdAt }) =>
          DateTime.toEpochMillis(createdAt)
        )
          .toSorted((a, b) => a - b)
        return Math.max(...made.slice(1).map((at, nth) => at - made[nth]!))
      }
      assert.isAtMost(most("beside"), 1020)
      assert.isAtMost(most("soon"), 1150, "somebody looks once a second")
      assert.isAtMost(most("later"), 1800, "and then knows when it is due")
    }).pipe(
      Effect.provide(Layer.provideMerge(planner, world)),
    ))

  it.live("J24: three schedulers race for 10,000 slots, and each slot fires once", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const from = (yield* Clock.currentTimeMillis) + 60_000
      for (const nth of times(100)) {
        yield* triggers.put(
          new TriggerDefinition({
            namespace: standard,
            name: TriggerName.make(`nr-${nth}`),
            task: Work.name,
            schedule: { _tag: "Every", millis: 1000, start: from, end: from + 100_000 },
            payload: "{}",
            misfire: { _tag: "All", max: 100 },
          }),
        )
      }
      yield* Effect.all(times(3).map(() => Layer.build(planner)))
      yield* clock.elapse(Duration.minutes(3))
      yield* serving(Effect.void)
      const { runs } = yield* Storage
      yield* until(runs.counts(standard), ({ Succeeded = 0 }) => Succeeded >= 10_000)
      const views = yield* runsThere
      assert.strictEqual(views.length, 10_000)
      assert.strictEqual(
        new Set(views.map(({ slot, trigger }) => `${trigger} ${slot}`)).size,
        10_000,
      )
      assert.isTrue(views.every(({ attempt, fence }) => attempt === 1 && fence === 1))
    }).pipe(
      Effect.provide(Layer.provideMerge(engine, Layer.provide(Memory.layer, clock.layer))),
    ))

  it.live("A12: a run that takes ten seconds is accepted within 50 ms, and others beside it", () =>
    Effect.gen(function* () {
      yield* serving(Effect.sleep("10 seconds"), { drainTimeout: "10 millis", concurrency: 4 })
      // So that whoever carries them out is there.
      const { executors } = yield* Storage
      yield* until(executors.list(standard), ([each]) => (each?.tasks.length ?? 0) > 0)
      const runs = yield* submitted(4)
      const views = yield* Effect.forEach(runs, ({ run }) =>
        until(
          Scheduler.use((scheduler) => scheduler.find(run)),
          ({ state }) => state === "Running",
        ))
      for (const { claimedAt, createdAt } of views) {
        const took = DateTime.toEpochMillis(claimedAt!) - DateTime.toEpochMillis(createdAt)
        assert.isBelow(took, 50)
      }
    }).pipe(Effect.provide(world)))

  it.live("A29: an executor that comes gets work within a heartbeat", () =>
    Effect.gen(function* () {
      yield* submitted(20)
      const from = yield* Clock.currentTimeMillis
      yield* serving(Effect.void)
      const views = yield* until(
        runsThere,
        (views) => views.every(({ state }) => state === "Succeeded"),
      )
      // It beats four times in its time to live, which is four seconds.
      for (const { claimedAt } of views) {
        assert.isBelow(DateTime.toEpochMillis(claimedAt!) - from, 1000)
      }
    }).pipe(Effect.provide(world)))

  it.live("G10: with a backlog the next run begins within 100 ms of the end of the one before", () =>
    Effect.gen(function* () {
      const between: Array<number> = []
      let ended: number | undefined
      const runs = yield* submitted(300)
      yield* serving(
        Effect.gen(function* () {
          const clock = yield* Clock.Clock
          const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
          if (ended !== undefined) between.push(now() - ended)
          yield* Effect.sleep("1 milli")
          ended = now()
        }),
        { concurrency: 1 },
      )
      for (const { run } of runs) yield* Scheduler.use((scheduler) => scheduler.ended(run))
      assert.strictEqual(between.length, 299)
      assert.isBelow(p99(between), 100)
    }).pipe(Effect.provide(world)))

  it.live("G22, B54: who is idle asks but once a second, and a new run begins within 100 ms", () => {
    let claims = 0
    const counted = Layer.effect(
      Storage,
      Storage.useSync((storage) =>
        Storage.of({
          ...storage,
          runs: {
            ...storage.runs,
            claim: (request) =>
              Effect.suspend(() => {
                claims++
                return storage.runs.claim(request)
              }),
          },
        })
      ),
    )
    return Effect.gen(function* () {
      yield* serving(Effect.void)
      const { executors } = yield* Storage
      yield* until(executors.list(standard), ([each]) => (each?.tasks.length ?? 0) > 0)
      yield* Effect.sleep("300 millis")
      const before = claims
      yield* Effect.sleep("700 millis")
      assert.isAtMost(claims - before, 1, "but to be safe, once a second")
      const run = yield* Work.submit({})
      const view = yield* Scheduler.use((scheduler) => scheduler.ended(run))
      const took = DateTime.toEpochMillis(view.claimedAt!) - DateTime.toEpochMillis(view.createdAt)
      assert.isBelow(took, 100)
    }).pipe(
      Effect.provide(Layer.provideMerge(engine, Layer.provideMerge(counted, Memory.layer))),
    )
  })
})

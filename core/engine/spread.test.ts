/**
 * How runs spread over executors: many of them, counted. That each strategy chooses and explains is
 * in `Placement.test.ts`, that it holds over every storage in `RoutingContract.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Random, Schema, Scope } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { until } from "../contract/program.ts"
import { times } from "../contract/world.ts"
import { ExecutorName } from "../domain/Executor.ts"
import { standard } from "../domain/Namespace.ts"
import type { Policy } from "../domain/Policy.ts"
import type { Routing } from "../domain/Routing.ts"
import { Selector } from "../domain/Selector.ts"
import { Storage } from "../services/Storage.ts"
import { Executor, type ExecutorOptions } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const sweeps = Scheduler.layerWith({ sweepInterval: "100 millis" })

const world = Layer.mergeAll(sweeps, Triggers.layer, Direct.layer).pipe(
  Layer.provide(LocalOwnership.layer),
  Layer.provideMerge(Memory.layer),
)

const taskOf = (policy: Partial<Policy>) => Task.make("told", { success: Schema.String, policy })
type Told = ReturnType<typeof taskOf>

/** Executors that answer with their names, as soon as everybody sees them. */
const serving = Effect.fnUntraced(function* (
  task: Told,
  names: ReadonlyArray<string>,
  options: ExecutorOptions = {},
) {
  for (const name of names) {
    yield* Layer.build(Layer.provide(
      Layer.fresh(task.toLayer(() => Effect.succeed(name))),
      Layer.fresh(Executor.layerWith({ name, ttl: "4 seconds", ...options })),
    ))
  }
  const { executors } = yield* Storage
  yield* until(
    executors.list(standard),
    (views) =>
      names.every((wanted) => views.some(({ name, tasks }) => name === wanted && tasks.length > 0)),
  )
})

const submitted = (task: Told, count: number) =>
  Scheduler.use((scheduler) =>
    scheduler.submitAll(
      times(count).map(() => ({ task: task.name, payload: "{}", policy: task.policy })),
    )
  )

/** Who carried out how many. */
const carriedOut = Effect.fnUntraced(function* (
  task: Told,
  runs: ReadonlyArray<{ readonly run: Parameters<Told["result"]>[0] }>,
) {
  const counts = new Map<string, number>()
  for (const { run } of runs) {
    const name = yield* task.result(run)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
})

const named = (executor: string): Routing => ({
  _tag: "Fixed",
  executor: ExecutorName.make(executor),
})

const differ = (counts: ReadonlyMap<string, number>) =>
  Math.max(...counts.values()) - Math.min(...counts.values())

describe("runs spread", () => {
  it.live("A4: a hundred runs of one that names its executor go there, and nowhere else", () =>
    Effect.gen(function* () {
      const task = taskOf({ routing: named("b") })
      yield* serving(task, ["a", "b", "c"])
      const counts = yield* carriedOut(task, yield* submitted(task, 100))
      assert.deepStrictEqual([...counts], [["b", 100]])
    }).pipe(Effect.provide(world)))

  it.live("A5: 300 runs by turns, by two schedulers and over a restart, differ by one at most", () =>
    Effect.gen(function* () {
      const task = taskOf({ routing: { _tag: "RoundRobin" } })
      yield* serving(task, ["a", "b", "c"])
      const other = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provide(effect, Layer.fresh(Layer.provide(sweeps, LocalOwnership.layer)))
      const halves = yield* Effect.all(
        [submitted(task, 120), other(submitted(task, 120))],
        { concurrency: 2 },
      )
      const runs = [...halves.flat(), ...yield* other(submitted(task, 60))]
      const counts = yield* carriedOut(task, runs)
      assert.strictEqual(counts.size, 3)
      assert.isAtMost(differ(counts), 1)
    }).pipe(Effect.provide(world)))

  it.live("A7: 3,000 runs at random over three pass a chi-square test at 0.001", () =>
    Effect.gen(function* () {
      const task = taskOf({ routing: { _tag: "Random" } })
      yield* serving(task, ["a", "b", "c"])
      const counts = yield* carriedOut(task, yield* submitted(task, 3000))
      const chiSquare = [...counts.values()]
        .reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
      assert.strictEqual(counts.size, 3)
      // Of two degrees of freedom, at 0.001.
      assert.isBelow(chiSquare, 13.816)
    }).pipe(Effect.provide(world), Random.withSeed(7)))

  it.live("G5: what asks for a gpu goes to those that say so, the least loaded of them first", () =>
    Effect.gen(function* () {
      const task = taskOf({ routing: { _tag: "LeastLoaded" }, selector: Selector.make("gpu") })
      yield* serving(task, ["plain"], { concurrency: 1000 })
      const labels = { gpu: "a100" }
      yield* serving(task, ["large"], { labels, concurrency: 60 })
      yield* serving(task, ["small"], { labels, concurrency: 20 })
      const counts = yield* carriedOut(task, yield* submitted(task, 80))
      // By the share of their places that is taken.
      assert.deepStrictEqual(counts, new Map([["large", 60], ["small", 20]]))
    }).pipe(Effect.provide(world)))

  it.live("G6: of 10,000 equal runs by turns no executor has a tenth more or less than the mean", () =>
    Effect.gen(function* () {
      const task = taskOf({ routing: { _tag: "RoundRobin" } })
      const names = ["a", "b", "c", "d"]
      yield* serving(task, names, { concurrency: 50 })
      const counts = yield* carriedOut(task, yield* submitted(task, 10_000))
      for (const name of names) assert.closeTo(counts.get(name) ?? 0, 2500, 250, name)
    }).pipe(Effect.provide(world)))

  it.live("J8: another strategy acts on the next fire, whose run says by which it was placed", () =>
    Effect.gen(function* () {
      const triggers = yield* Triggers
      const { tasks } = yield* Storage
      const task = taskOf({ routing: { _tag: "First" } })
      yield* serving(task, ["a", "b"])
      yield* Layer.build(task.schedule("yearly", Trigger.cron("0 0 1 1 *"), {}))
      const placed = Effect.fnUntraced(function* (request: string) {
        const { run } = yield* triggers.fire(standard, "yearly", { request })
        yield* task.result(run)
        const view = yield* Scheduler.use((scheduler) => scheduler.find(run))
        return [view.placed?.strategy, view.placed?.name as string | undefined]
      })
      assert.deepStrictEqual(yield* placed("first"), ["First", "a"])
      const policy = { ...task.policy, routing: { _tag: "Last" as const } }
      yield* tasks.define([{ namespace: standard, name: task.name, policy }])
      assert.deepStrictEqual(yield* placed("second"), ["Last", "b"])
    }).pipe(Effect.provide(world)))

  it.live("J22: without one of three executors nothing changes but who carries runs out", () =>
    Effect.gen(function* () {
      const task = taskOf({ routing: { _tag: "RoundRobin" } })
      yield* serving(task, ["a", "b"])
      const scope = yield* Scope.make()
      yield* Scope.provide(serving(task, ["c"]), scope)
      const before = yield* carriedOut(task, yield* submitted(task, 90))
      assert.deepStrictEqual([...before.values()], [30, 30, 30])
      const cut = yield* submitted(task, 90)
      yield* Scope.close(scope, Exit.void)
      const after = yield* submitted(task, 90)
      const during = yield* carriedOut(task, cut)
      assert.strictEqual([...during.values()].reduce((sum, count) => sum + count), 90)
      const counts = yield* carriedOut(task, after)
      assert.sameMembers([...counts.keys()], ["a", "b"])
      assert.isAtMost(differ(counts), 1)
      const views = yield* Scheduler.use((scheduler) =>
        scheduler.list({ namespace: standard, limit: 1000 })
      )
      assert.deepStrictEqual(
        views.filter(({ attempt, state }) => state !== "Succeeded" || attempt !== 1),
        [],
      )
    }).pipe(Effect.provide(world)))
})

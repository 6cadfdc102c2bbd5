/**
 * What a user may rely on of routing, and of blocking that keeps the latest, as tests of the whole: who
 * carries a run out, and what is said of it. An adapter of storage or transport passes when the
 * engine over it does.
 *
 * They run in real time, wait for facts, and bound nothing more tightly than a busy machine needs.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Ref, Schema, Scope } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { ExecutorName } from "../domain/Executor.ts"
import type { Policy } from "../domain/Policy.ts"
import * as PoolSizes from "../domain/PoolSizes.ts"
import * as Retry from "../domain/Retry.ts"
import * as Routing from "../domain/Routing.ts"
import type { RunId } from "../domain/RunId.ts"
import { CurrentNamespace } from "../engine/CurrentNamespace.ts"
import { CurrentRun } from "../engine/CurrentRun.ts"
import type { Executor, ExecutorOptions } from "../engine/Executor.ts"
import * as LocalOwnership from "../engine/LocalOwnership.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import * as Task from "../engine/Task.ts"
import * as Trigger from "../engine/Trigger.ts"
import { Triggers } from "../engine/Triggers.ts"
import { Storage } from "../services/Storage.ts"
import {
  type Base,
  inFreshNamespace,
  type Program,
  programOver,
  serving as joining,
  state,
  until,
} from "./program.ts"
import { block, times } from "./world.ts"

const named = (name: string) => ExecutorName.make(name)

/** As `serving`, and waits until everybody can see it, so that it is among those chosen from. */
const serving = (...[handlers, options]: Parameters<typeof joining<never>>) =>
  Effect.gen(function* () {
    const { executors } = yield* Storage
    const namespace = yield* CurrentNamespace
    const context = yield* joining(handlers, options)
    yield* until(
      executors.list(namespace),
      (views) => views.some(({ name, tasks }) => name === options?.name && tasks.length > 0),
    )
    return context
  })

/** A task that tells who carried it out, and the handler of each executor. */
const told = (policy: Partial<Policy>) => {
  const task = Task.make("told", {
    payload: { n: Schema.Int },
    success: Schema.String,
    policy,
  })
  const as = (name: string, options: ExecutorOptions = {}) =>
    serving(task.toLayer(() => Effect.succeed(name)), { name, ...options })
  return { task, as }
}

/** Who carried each of so many out that were submitted at once. */
const allOf = (task: ReturnType<typeof told>["task"], count: number) =>
  Effect.gen(function* () {
    const scheduler = yield* Scheduler
    const accepted = yield* scheduler.submitAll(
      times(count).map((n) => ({
        task: task.name,
        payload: JSON.stringify({ n }),
        policy: task.policy,
      })),
    )
    return yield* Effect.forEach(accepted, ({ run }) => task.result(run))
  })

const countsOf = (names: ReadonlyArray<string>): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

export const suite = <E>(adapter: string, base: Layer.Layer<Base, E>): void =>
  block(`routing, ${adapter}`, programOver(base), { runner: "live" }, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<unknown, unknown, Program | Scope.Scope>,
    ) => it.effect(name, () => inFreshNamespace(body()))

    test("I25 placement: round-robin goes round, through several schedulers and a restart", () =>
      Effect.gen(function* () {
        const { as, task } = told({ routing: { _tag: "RoundRobin" } })
        yield* Effect.all([as("a"), as("b"), as("c")])
        yield* task.execute({ n: 0 })
        const submits = (count: number) =>
          Effect.forEach(
            times(count),
            (n) => Effect.flatMap(Scheduler, () => task.submit({ n })),
            { concurrency: 8 },
          )
        const other = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.provide(
            effect,
            Layer.fresh(
              Scheduler.layerWith({ sweepInterval: "200 millis" }).pipe(
                Layer.provide(LocalOwnership.layer),
              ),
            ),
          )
        const runs = [
          ...(yield* Effect.all([submits(40), other(submits(40))], { concurrency: 2 })).flat(),
          ...(yield* other(submits(9))),
        ]
        const names = yield* Effect.forEach(runs, (run) => task.result(run), { concurrency: 8 })
        const counts = Object.values(countsOf([...names, "a"]))
        assert.strictEqual(counts.length, 3)
        assert.isAtMost(Math.max(...counts) - Math.min(...counts), 1, JSON.stringify(counts))
        const { placed } = yield* state(runs[0]!)
        assert.deepInclude(placed, { strategy: "RoundRobin" })
        assert.strictEqual(placed!.passedOver.length, 2)
      }))

    test("I25 placement: random chooses each now and then", () =>
      Effect.gen(function* () {
        const { as, task } = told({ routing: { _tag: "Random" } })
        yield* Effect.all([as("a"), as("b"), as("c")])
        yield* task.execute({ n: 0 })
        const names = yield* allOf(task, 300)
        const counts = Object.values(countsOf(names))
        assert.strictEqual(counts.length, 3)
        // Nine deviations from the mean: it does not happen.
        assert.isAbove(Math.min(...counts), 30, JSON.stringify(counts))
      }))

    test("I25 placement: fixed waits for the one it names, and says that it is away", () =>
      Effect.gen(function* () {
        const routing: Routing.Routing = { _tag: "Fixed", executor: named("b") }
        const { as, task } = told({ routing })
        yield* as("a")
        const run = yield* task.submit({ n: 1 })
        const scheduler = yield* Scheduler
        const why = yield* until(
          scheduler.why(run),
          (why) => why._tag === "Unplaced" && why.passedOver.length > 0,
        )
        assert(why._tag === "Unplaced")
        assert.strictEqual(why.strategy, "Fixed")
        assert.deepInclude(why.passedOver[0], {
          name: named("a"),
          obstacle: { _tag: "NotNamed", executor: "b" },
        })
        yield* as("b")
        assert.strictEqual(yield* task.result(run), "b")
      }))

    test("fixed fails at once while its executor is away, where that is asked for", () =>
      Effect.gen(function* () {
        const { as, task } = told({
          routing: { _tag: "Fixed", executor: named("b"), whenAway: "fail" },
        })
        yield* as("a")
        yield* until(
          Effect.exit(task.execute({ n: 1 })),
          (exit) => Exit.isFailure(exit) && JSON.stringify(exit).includes("NoExecutor"),
        )
      }))

    test("resource-aware goes to the one with most to spare, and names what is missing", () =>
      Effect.gen(function* () {
        const { as, task } = told({ resources: { gpu: 1, memory: 4 } })
        yield* as("plain", { resources: { memory: 64 } })
        yield* as("small", { resources: { gpu: 0.5, memory: 64 } })
        const run = yield* task.submit({ n: 1 })
        const scheduler = yield* Scheduler
        const why = yield* until(
          scheduler.why(run),
          (why) => why._tag === "Unplaced" && why.passedOver.length === 2,
        )
        assert.deepInclude(why, { strategy: "ResourceAware" })
        assert.deepInclude(JSON.stringify(why), '"resource":"gpu","needed":1,"free":0.5')
        yield* Effect.all([
          as("tight", { resources: { gpu: 1, memory: 4 } }),
          as("roomy", { resources: { gpu: 4, memory: 64 } }),
        ])
        yield* task.result(run)
        assert.strictEqual(yield* task.execute({ n: 2 }), "roomy")
      }))

    test("busyOver goes by the pool as it was resized", () =>
      Effect.gen(function* () {
        const { executors } = yield* Storage
        const task = Task.make("held", { policy: { routing: Routing.busyOver } })
        yield* serving(task.toLayer(() => Effect.never), {
          name: "one",
          concurrency: 1,
          drainTimeout: "50 millis",
        })
        const namespace = yield* CurrentNamespace
        const runs = yield* Effect.forEach(times(3), () => task.submit({}))
        const running = Effect.map(
          Effect.forEach(runs, state),
          (views) => views.filter(({ state }) => state === "Running").length,
        )
        yield* until(running, (count) => count === 1)
        const [view] = yield* executors.list(namespace)
        assert.isTrue(
          yield* executors.resize(namespace, view!.incarnation, PoolSizes.of(2)),
        )
        yield* until(running, (count) => count === 2)
        const why = yield* until(
          Effect.flatMap(Scheduler, (scheduler) => scheduler.why(runs[2]!)),
          ({ _tag }) => _tag === "Unplaced",
        )
        assert.include(JSON.stringify(why), '"NoCapacity","held":2,"capacity":2')
      }))

    test("never gives an executor more than it has, whatever the strategy", () =>
      Effect.gen(function* () {
        let under = 0
        let most = 0
        const task = Task.make("hungry", {
          policy: { resources: { gpu: 1 }, routing: { _tag: "RoundRobin" } },
        })
        const layer = task.toLayer(() =>
          Effect.gen(function* () {
            most = Math.max(most, ++under)
            yield* Effect.sleep("40 millis")
            under--
          })
        )
        yield* serving(layer, { name: "a", concurrency: 10, resources: { gpu: 2 } })
        const runs = yield* Effect.forEach(times(10), () => task.submit({}), { concurrency: 10 })
        for (const run of runs) yield* task.result(run)
        assert.isAtMost(most, 2)
      }))

    test("I25 placement: least-loaded spreads equal runs evenly", () =>
      Effect.gen(function* () {
        const { as, task } = told({ routing: { _tag: "LeastLoaded" } })
        yield* Effect.all(["a", "b", "c"].map((name) => as(name, { concurrency: 20 })))
        yield* task.execute({ n: 0 })
        const counts = Object.values(countsOf(yield* allOf(task, 60)))
        assert.strictEqual(counts.length, 3)
        assert.isAtMost(Math.max(...counts) - Math.min(...counts), 6, JSON.stringify(counts))
      }))

    test("consistent-hash keeps a key with its executor", () =>
      Effect.gen(function* () {
        const task = Task.make("keyed", {
          payload: { key: Schema.String },
          success: Schema.String,
          policy: { routing: { _tag: "ConsistentHash" }, blockingKey: ({ key }) => key },
        })
        yield* Effect.forEach(
          ["a", "b", "c"],
          (name) => serving(task.toLayer(() => Effect.succeed(name)), { name }),
        )
        const keys = times(12).map((n) => `key-${n}`)
        yield* task.execute({ key: "first" })
        const round = Effect.forEach(keys, (key) => task.execute({ key }), { concurrency: 4 })
        const first = yield* round
        assert.isAbove(new Set(first).size, 1)
        assert.deepStrictEqual(yield* round, first)
      }))

    test("a selector narrows a routed task down, and a run waits for such labels", () =>
      Effect.gen(function* () {
        const task = Task.make("narrow", {
          success: Schema.String,
          policy: { routing: { _tag: "First" }, selector: "gpu" },
        })
        const as = (name: string, labels: Record<string, string>) =>
          serving(task.toLayer(() => Effect.succeed(name)), { name, labels })
        yield* as("a", {})
        const run = yield* task.submit({})
        const why = yield* until(
          Scheduler.use((scheduler) => scheduler.why(run)),
          (why) => why._tag === "Unplaced" && why.passedOver.length > 0,
        )
        assert.include(JSON.stringify(why), "LabelUnmet")
        yield* as("b", { gpu: "a100" })
        assert.strictEqual(yield* task.result(run), "b")
      }))

    test("what waits for an executor that goes is placed with another, in order", () =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const order: Array<number> = []
        const task = Task.make("passed-on", {
          payload: { n: Schema.Int },
          success: Schema.String,
          policy: { routing: { _tag: "First" } },
        })
        const scope = yield* Scope.make()
        yield* Scope.provide(
          serving(
            task.toLayer(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)),
            { name: "a", concurrency: 1, drainTimeout: "50 millis" },
          ),
          scope,
        )
        const runs: Array<RunId> = []
        for (const n of times(4)) runs.push(yield* task.submit({ n }))
        yield* Deferred.await(started)
        yield* until(state(runs[3]!), ({ placed }) => placed?.name === "a")
        yield* serving(
          task.toLayer(({ n }) => Effect.sync(() => (order.push(n), "b"))),
          { name: "b", concurrency: 1 },
        )
        yield* Scope.close(scope, Exit.void)
        for (const run of runs) assert.strictEqual(yield* task.result(run), "b")
        assert.deepStrictEqual(order.filter((n) => n > 0), [1, 2, 3])
        const events = yield* Scheduler.use((scheduler) => scheduler.events(runs[3]!))
        const placed = events.filter(({ kind }) => kind === "Placed")
        assert.deepStrictEqual(
          placed.map(({ detail }) => detail?.replace(/\(\d+\)/, "")),
          ["with a , by First", "with b , by First"],
        )
      }))

    test("a failed attempt is placed anew", () =>
      Effect.gen(function* () {
        const { task } = told({
          routing: { _tag: "RoundRobin" },
          retry: Retry.exponential({ attempts: 2, delayMillis: 10 }),
        })
        const as = (name: string) =>
          serving(
            task.toLayer(() =>
              CurrentRun.use(({ attempt }) =>
                attempt === 1 ? Effect.die(new Error("not here")) : Effect.succeed(name)
              )
            ),
            { name },
          )
        yield* Effect.all([as("a"), as("b")])
        const run = yield* task.submit({ n: 1 })
        const second = yield* task.result(run)
        const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
        const placed = events.filter(({ kind }) => kind === "Placed").map(({ detail }) =>
          detail![5]
        )
        assert.strictEqual(placed.length, 2)
        assert.strictEqual(placed[1], second)
        assert.notStrictEqual(placed[0], placed[1])
      }))

    test("a trigger's runs are routed as any", () =>
      Effect.gen(function* () {
        const { as, task } = told({ routing: { _tag: "Last" }, blocking: Blocking.fifo })
        yield* Effect.all([as("a"), as("b")])
        yield* task.execute({ n: 0 })
        const namespace = yield* CurrentNamespace
        const now = yield* Storage.use((storage) => storage.now)
        const soon = Trigger.at(new Date(now + 300))
        yield* Layer.build(task.schedule("soon", soon, { n: 2 }))
        const [record] = yield* until(
          Triggers.use((triggers) => triggers.records(namespace, "soon", 1)),
          ([record]) => record?.outcome === "fired",
        )
        assert.strictEqual(yield* task.result(record!.run!), "b")
      }))

    test("I15 broadcast: each executor that is there has one part, and none who comes later", () =>
      Effect.gen(function* () {
        const seen = yield* Ref.make<ReadonlyArray<string>>([])
        const free = yield* Deferred.make<void>()
        const task = Task.make("everywhere", { policy: { routing: { _tag: "Broadcast" } } })
        const as = (name: string) =>
          serving(
            task.toLayer(() =>
              Effect.gen(function* () {
                const { shard } = yield* CurrentRun
                assert.strictEqual(shard?.count, 2)
                yield* Ref.update(seen, (all) => [...all, name])
                yield* Deferred.await(free)
              })
            ),
            { name },
          )
        const scheduler = yield* Scheduler
        const namespace = yield* CurrentNamespace
        yield* as("a")
        yield* as("b")
        const run = yield* task.submit({})
        yield* until(Ref.get(seen), (all) => all.length === 2)
        yield* as("c")
        yield* Effect.sleep("600 millis")
        assert.deepStrictEqual((yield* Ref.get(seen)).toSorted(), ["a", "b"])
        assert.strictEqual((yield* state(run)).state, "Awaiting")
        yield* Deferred.succeed(free, undefined)
        assert.strictEqual((yield* scheduler.ended(run)).state, "Succeeded")
        const parts = yield* scheduler.list({ namespace, parent: run, limit: 9 })
        assert.deepStrictEqual(parts.map(({ placed }) => placed!.name).toSorted(), ["a", "b"])
      }))

    test("a part whose executor is lost fails, and is done nowhere else", () =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const task = Task.make("lost-part", { policy: { routing: { _tag: "Broadcast" } } })
        const scope = yield* Scope.make()
        yield* Scope.provide(
          serving(
            task.toLayer(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)),
            { name: "a", drainTimeout: "50 millis" },
          ),
          scope,
        )
        const run = yield* task.submit({})
        yield* Deferred.await(started)
        yield* serving(task.toLayer(() => Effect.void), { name: "b" })
        yield* Scope.close(scope, Exit.void)
        const scheduler = yield* Scheduler
        const ended = yield* scheduler.ended(run)
        assert.strictEqual(ended.state, "Failed")
        const namespace = yield* CurrentNamespace
        const [part] = yield* scheduler.list({ namespace, parent: run, limit: 9 })
        assert.deepInclude(part, { state: "Failed" })
        assert.strictEqual(part!.failure?.tag, "ExecutorLost")
      }))

    test("sharded cuts a run into as many slices as it says, spread evenly", () =>
      Effect.gen(function* () {
        const slices = yield* Ref.make<ReadonlyArray<readonly [string, number]>>([])
        const task = Task.make("sliced", { policy: { routing: { _tag: "Sharded", count: 6 } } })
        const as = (name: string) =>
          serving(
            task.toLayer(() =>
              CurrentRun.use(({ shard }) =>
                Ref.update(slices, (all) => [...all, [name, shard!.index] as const])
              )
            ),
            { name },
          )
        yield* Effect.all([as("a"), as("b"), as("c")])
        yield* task.execute({})
        yield* Ref.set(slices, [])
        yield* task.execute({})
        const all = yield* Ref.get(slices)
        assert.deepStrictEqual(all.map(([, index]) => index).toSorted(), [0, 1, 2, 3, 4, 5])
        assert.deepStrictEqual(countsOf(all.map(([name]) => name)), { a: 2, b: 2, c: 2 })
      }))

    test("replace stops the one under way, and the new one goes when it has ended", () =>
      Effect.gen(function* () {
        let under = 0
        const interrupted = yield* Deferred.make<void>()
        const task = Task.make("replacing", {
          payload: { n: Schema.Int },
          success: Schema.Int,
          policy: { blocking: Blocking.replace },
        })
        yield* joining(task.toLayer(({ n }) =>
          Effect.gen(function* () {
            assert.strictEqual(++under, 1)
            if (n === 1) yield* Effect.never
            return n
          }).pipe(
            Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
            Effect.ensuring(Effect.sync(() => under--)),
          )
        ))
        const first = yield* task.submit({ n: 1 })
        yield* until(state(first), (view) => view.state === "Running")
        assert.strictEqual(yield* task.execute({ n: 2 }), 2)
        yield* Deferred.await(interrupted)
        assert.strictEqual((yield* state(first)).state, "Cancelled")
      }))

    test("latest keeps one that waits, and says by whom the others were replaced", () =>
      Effect.gen(function* () {
        const free = yield* Deferred.make<void>()
        const task = Task.make("refresh", {
          payload: { n: Schema.Int },
          success: Schema.Int,
          policy: { blocking: Blocking.latest, blockingScope: "task" },
        })
        yield* joining(task.toLayer(({ n }) => Effect.as(Deferred.await(free), n)))
        const first = yield* task.submit({ n: 0 })
        yield* until(state(first), (view) => view.state === "Running")
        const runs = yield* Effect.forEach(times(3), (n) => task.submit({ n: n + 1 }))
        const why = yield* Scheduler.use((scheduler) => scheduler.why(runs[0]!))
        assert.deepInclude(JSON.stringify(why), `replaced by run`)
        yield* Deferred.succeed(free, undefined)
        assert.strictEqual(yield* task.result(first), 0)
        assert.strictEqual(yield* task.result(runs[2]!), 3)
        const states = yield* Effect.forEach(runs, state)
        assert.deepStrictEqual(states.map((view) => view.state), [
          "Discarded",
          "Discarded",
          "Succeeded",
        ])
      }))

    /** Two executors of one place each, with a run of the task each that goes on until it is free. */
    const meeting = (blocking: Blocking.Separate) =>
      Effect.gen(function* () {
        const free = yield* Deferred.make<void>()
        const under = new Map<string, number>()
        let most = 0
        const task = Task.make("meeting", {
          payload: { n: Schema.Int },
          success: Schema.String,
          policy: { blocking, blockingScope: "executor", routing: Routing.roundRobin },
        })
        const work = (name: string, n: number) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              under.set(name, (under.get(name) ?? 0) + 1)
              most = Math.max(most, under.get(name)!)
            }),
            () => Effect.as(n < 2 ? Deferred.await(free) : Effect.void, name),
            // It takes its time to stop.
            () =>
              Effect.andThen(
                Effect.sleep("20 millis"),
                Effect.sync(() => under.set(name, under.get(name)! - 1)),
              ),
          )
        for (const name of ["one", "other"]) {
          yield* serving(task.toLayer(({ n }) => work(name, n)), { name, concurrency: 1 })
        }
        const submits = (from: number, count: number) =>
          Effect.forEach(times(count), (nth) => task.submit({ n: from + nth }))
        const first = yield* submits(0, 2)
        for (const run of first) yield* until(state(run), (view) => view.state === "Running")
        return { task, free, first, submits, most: () => most }
      })

    /** By whose run, at the same executor. */
    const assertMet = (run: RunId, by: ReadonlyArray<RunId>, how: string) =>
      Effect.gen(function* () {
        const view = yield* state(run)
        const others = yield* Effect.forEach(by, state)
        const other = others.find(({ executor }) => executor?.name === view.executor?.name)
        assert.include(view.failure?.message, `${how} run ${other?.id}`)
      })

    test("discards per executor what meets a run there, and nothing else", () =>
      Effect.gen(function* () {
        const { first, free, most, submits, task } = yield* meeting(Blocking.discard)
        const met = yield* submits(2, 2)
        for (const run of met) {
          yield* until(state(run), (view) => view.state === "Discarded")
          yield* assertMet(run, first, "busy with")
        }
        yield* Deferred.succeed(free, undefined)
        for (const run of first) yield* task.result(run)
        const after = yield* Effect.forEach(yield* submits(4, 2), (run) => task.result(run))
        assert.deepStrictEqual(after.toSorted(), ["one", "other"])
        assert.strictEqual(most(), 1)
      }))

    test("replaces per executor the run that another one meets there", () =>
      Effect.gen(function* () {
        const { first, most, submits, task } = yield* meeting(Blocking.replace)
        const met = yield* submits(2, 2)
        const names = yield* Effect.forEach(met, (run) => task.result(run))
        assert.deepStrictEqual(names.toSorted(), ["one", "other"])
        for (const run of first) {
          assert.strictEqual((yield* state(run)).state, "Cancelled")
          yield* assertMet(run, met, "replaced by")
        }
        assert.strictEqual(most(), 1)
      }))

    test("keeps the latest per executor of those that wait there", () =>
      Effect.gen(function* () {
        const { first, free, most, submits, task } = yield* meeting(Blocking.latest)
        const earlier = yield* submits(2, 2)
        for (const run of earlier) yield* until(state(run), (view) => view.state === "Running")
        const met = yield* submits(4, 2)
        for (const run of earlier) {
          yield* until(state(run), (view) => view.state === "Discarded")
        }
        yield* Deferred.succeed(free, undefined)
        for (const run of first) yield* task.result(run)
        const names = yield* Effect.forEach(met, (run) => task.result(run))
        assert.deepStrictEqual(names.toSorted(), ["one", "other"])
        for (const run of earlier) yield* assertMet(run, met, "replaced by")
        assert.strictEqual(most(), 1)
      }))

    test("what two tasks touch exclusively, they touch one at a time", () =>
      Effect.gen(function* () {
        let under = 0
        const work = Effect.gen(function* () {
          assert.strictEqual(++under, 1)
          yield* Effect.sleep("5 millis")
          under--
        })
        const policy = { touches: { "db/main": "exclusive" } } as const
        const [one, other] = ["one", "other"].map((name) => Task.make(name, { policy })) as [
          Task.Task,
          Task.Task,
        ]
        yield* joining(
          Layer.mergeAll(
            one.toLayer(() => work) as Layer.Layer<never, never, Executor>,
            other.toLayer(() => work) as Layer.Layer<never, never, Executor>,
          ),
        )
        const runs = yield* Effect.forEach(
          times(12),
          (n) => (n % 2 === 0 ? one : other).submit({}),
          { concurrency: 4 },
        )
        for (const run of runs) yield* one.result(run)
      }))
  })

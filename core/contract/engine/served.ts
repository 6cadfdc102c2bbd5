/** Who carries out what, and what becomes of it when they come and go. */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import * as GivenBack from "../../domain/GivenBack.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Executor } from "../../engine/Executor.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { Storage } from "../../services/Storage.ts"
import { serving, state, type Test, until } from "../program.ts"
import { times } from "../world.ts"

export const served = (test: Test): void => {
  test("carries out at once what it serves since it has begun to wait for work", () =>
    Effect.gen(function* () {
      const [early, late] = [Task.make("early"), Task.make("late")]
      const executor = yield* Layer.build(Executor.layerWith({ ttl: "4 seconds" }))
      const serve = (handlers: Layer.Layer<never, never, Executor>) =>
        Layer.build(Layer.provide(handlers, Layer.succeedContext(executor)))
      yield* serve(early.toLayer(() => Effect.void))
      yield* early.execute({})
      yield* Effect.sleep("300 millis")
      yield* serve(late.toLayer(() => Effect.void))
      yield* Effect.timeout(late.execute({}), "5 seconds")
      yield* Effect.timeout(early.execute({}), "5 seconds")
    }))

  test("changes the pool of an executor while it runs", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const { executors } = yield* Storage
      const slow = Task.make("slow")
      yield* serving(slow.toLayer(() => Effect.never), {
        concurrency: 1,
        drainTimeout: "100 millis",
      })
      for (let n = 0; n < 4; n++) yield* slow.submit({})
      const [first] = yield* until(
        executors.list(namespace),
        ([each]) => each?.vitals?.running === 1,
      )
      const sizes = { core: 3, maximum: 3, queueLength: 0, prefetchMillis: 0 }
      assert.isTrue(yield* executors.resize(namespace, first!.incarnation, sizes))
      const [after] = yield* until(
        executors.list(namespace),
        ([each]) => each?.vitals?.running === 3,
      )
      assert.deepEqual(after?.vitals?.sizes, sizes)
    }))

  test("A11: with core 2, maximum 4 and a queue of 3 the eighth is refused, and goes back", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const { executors } = yield* Storage
      const slow = Task.make("slow")
      const pool = { core: 2, maximum: 4, queueLength: 4 }
      yield* serving(slow.toLayer(() => Effect.never), { ...pool, drainTimeout: "100 millis" })
      const runs = yield* Effect.forEach(times(8), () => slow.submit({}))
      const vitals = (queued: number) =>
        until(
          executors.list(namespace),
          ([each]) => each?.vitals?.running === 4 && each.vitals.queued === queued,
        )
      const [full] = yield* vitals(4)
      // Who asks for no more than it has room for is refused nothing, so the room is made less.
      const sizes = { core: 2, maximum: 4, queueLength: 3, prefetchMillis: 100 }
      assert.isTrue(yield* executors.resize(namespace, full!.incarnation, sizes))
      const [after] = yield* vitals(3)
      assert.deepInclude(after!.vitals, { sizes, running: 4, queued: 3 })
      const scheduler = yield* Scheduler
      const states = yield* Effect.forEach(runs, state)
      const [eighth, ...others] = states.filter(({ state }) => state === "Ready")
      assert.deepStrictEqual(others, [])
      assert.deepInclude(eighth, { attempt: 0 })
      const told = (yield* scheduler.events(eighth!.id)).filter(({ kind }) => kind === "Released")
      assert.deepStrictEqual(told.map(({ detail }) => detail), [GivenBack.wordsOf("PoolFull")])
      assert.match(told[0]!.detail!, /^pool full/)
      for (const { id, state } of states) {
        if (id !== eighth!.id) assert.strictEqual(state, "Running")
      }
    }))

  test("B65: a run waits, and says why, until somebody is there who serves its task", () =>
    Effect.gen(function* () {
      const before = Task.make("before")
      const alone = Task.make("alone", { success: Schema.String })
      const old = before.toLayer(() => Effect.void)
      yield* serving(old, { name: "old" })
      const run = yield* alone.submit({})
      const why = yield* Scheduler.use((scheduler) => scheduler.why(run))
      assert.deepStrictEqual(why, { _tag: "NoExecutor", task: alone.name })
      yield* before.execute({})
      assert.deepInclude(yield* state(run), { state: "Ready", attempt: 0 })
      yield* serving(Layer.merge(old, alone.toLayer(() => Effect.succeed("new"))), {
        name: "new",
      })
      const runs = yield* Effect.forEach(times(20), () => alone.submit({}))
      for (const each of [run, ...runs]) {
        assert.strictEqual(yield* alone.result(each), "new")
        assert.strictEqual((yield* state(each)).attempt, 1)
      }
    }))

  test("I25 placement: a run is kept for an executor with the labels that its task asks for", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const render = Task.make("render", {
        payload: { n: Schema.Int },
        policy: { selector: "gpu, region in (eu, us)" },
      })
      const executor = (name: string, labels: Record<string, string>) =>
        serving(render.toLayer(() => Effect.sync(() => seen.push(name))), { name, labels })
      yield* executor("plain", {})
      yield* executor("elsewhere", { gpu: "a100", region: "ap" })
      const first = yield* render.submit({ n: 1 })
      const scheduler = yield* Scheduler
      const why = yield* until(scheduler.why(first), ({ _tag }) => _tag === "NoneMatches")
      assert.include(JSON.stringify(why), "gpu,region in (eu,us)")
      const namespace = yield* CurrentNamespace
      const triggers = yield* Triggers
      const soon = Trigger.at(new Date((yield* (yield* Storage).now) + 300))
      yield* Layer.build(render.schedule("soon", soon, { n: 2 }))
      yield* until(
        triggers.records(namespace, "soon", 1),
        ([record]) => record?.outcome === "fired",
      )
      assert.deepStrictEqual(seen, [])
      yield* executor("right", { gpu: "a100", region: "eu" })
      yield* render.result(first)
      yield* until(Effect.sync(() => seen.length), (count) => count === 2)
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n),
        (n) => render.execute({ n }),
        { concurrency: 20 },
      )
      assert.deepStrictEqual(new Set(seen), new Set(["right"]))
    }))

  test("carries runs out that were submitted before their task had a selector", () =>
    Effect.gen(function* () {
      const before = Task.make("narrowed", { success: Schema.String })
      const run = yield* before.submit({})
      const after = Task.make("narrowed", {
        success: Schema.String,
        policy: { selector: "gpu" },
      })
      yield* serving(after.toLayer(() => Effect.succeed("done")), { labels: { gpu: "a100" } })
      assert.strictEqual(yield* after.result(run), "done")
    }))

  test("B63: at a shutdown running work is given back, and another executor goes on", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const task = Task.make("handed-over", { success: Schema.Int })
      let begun = 0
      const first = yield* Effect.forkChild(Effect.scoped(Effect.andThen(
        serving(
          task.toLayer(() => {
            begun++
            return Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
          }),
          { drainTimeout: "400 millis" },
        ),
        Effect.never,
      )))
      const run = yield* task.submit({})
      yield* Deferred.await(started)
      // As a signal does it: what is being interrupted still has to say goodbye.
      const ending = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
      yield* Effect.sleep("100 millis")
      const later = yield* task.submit({})
      yield* Fiber.join(ending)
      assert.strictEqual(begun, 1, "it takes nothing while it drains")
      assert.strictEqual((yield* state(later)).state, "Ready")
      yield* serving(task.toLayer(() => CurrentRun.use(({ attempt }) => Effect.succeed(attempt))))
      // An interruption by shutdown is no attempt.
      assert.strictEqual(yield* task.result(run), 1)
      assert.strictEqual(yield* task.result(later), 1)
      const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
      const kinds = events.map(({ kind }) => kind)
      assert.include(kinds, "Released", "and not when its lease had ended")
      assert.strictEqual(
        events.find(({ kind }) => kind === "Released")!.detail,
        GivenBack.wordsOf("Stopping"),
      )
      assert.notInclude(kinds, "Lost")
      const [released, ended] = ["Released", "Succeeded"].map((kind) =>
        events.find((event) => event.kind === kind)!.at.epochMilliseconds
      )
      assert.isBelow(ended! - released!, 2000)
    }))

  for (const hooked of [false, true]) {
    test(`B63: at a shutdown what begins at most once has failed${hooked ? ", and is cleaned" : ""}`, () =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const steps: Array<string> = []
        const task = Task.make("once", { policy: { delivery: "at-most-once" } })
        const handler = Effect.fnUntraced(function* () {
          steps.push("run")
          yield* Deferred.succeed(started, undefined)
          return yield* Effect.never
        })
        const live = () =>
          task.toLayer(
            handler,
            hooked ? { clean: () => Effect.sync(() => void steps.push("clean")) } : {},
          )
        const first = yield* Effect.forkChild(Effect.scoped(Effect.andThen(
          serving(live(), { drainTimeout: "50 millis" }),
          Effect.never,
        )))
        const run = yield* task.submit({})
        yield* Deferred.await(started)
        yield* Fiber.interrupt(first)
        yield* serving(live())
        const { failure, state: ended } = yield* until(
          state(run),
          ({ state }) => state !== "Running",
        )
        assert.strictEqual(ended, "Failed")
        assert.strictEqual(failure?.tag, "ExecutorStopped")
        yield* Effect.sleep("300 millis")
        assert.deepStrictEqual(steps, hooked ? ["run", "clean"] : ["run"])
      }))
  }

  test("lets running work finish when it shuts down", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const task = Task.make("finishing", { success: Schema.String })
      const scope = yield* Scope.make()
      yield* Scope.provide(
        serving(task.toLayer(() =>
          Deferred.succeed(started, undefined).pipe(
            Effect.andThen(Effect.sleep("200 millis")),
            Effect.as("done"),
          )
        )),
        scope,
      )
      const run = yield* task.submit({})
      yield* Deferred.await(started)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* state(run)).state, "Succeeded")
    }))
}

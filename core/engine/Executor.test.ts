import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { standard } from "../domain/Namespace.ts"
import { TaskName, usualPolicy } from "../domain/Task.ts"
import { Storage } from "../services/Storage.ts"
import { Executor, type ExecutorOptions } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const Slow = Task.make("test/slow")

const Engine = Layer.mergeAll(Scheduler.layer, Direct.layer).pipe(
  Layer.provide(LocalOwnership.layer),
  Layer.provideMerge(Memory.layer),
)

describe("an executor one of whose tasks is refused", () => {
  it.live("has stopped, and says which policy it is", () =>
    Effect.gen(function* () {
      const { register, stopped } = yield* Executor
      yield* register({
        context: Context.empty(),
        task: TaskName.make("test/early"),
        policy: { ...usualPolicy, alerts: [{ on: "failed", channel: "mail" }] },
        owner: undefined,
        purpose: undefined,
        carryOut: () => Effect.succeed(undefined),
      })
      const refused = yield* Effect.flip(stopped)
      assert(refused._tag === "Refused")
      assert.strictEqual(refused.field, "test/early.policy.alerts")
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(Executor.layer, Engine))))
})

describe("an executor whose runs take long", () => {
  it.live("begins others in its last places, however few", () =>
    Effect.gen(function* () {
      let running = 0
      yield* Layer.build(
        Slow.toLayer(() => {
          running++
          return Effect.never
        }).pipe(
          Layer.provide(Executor.layerWith({ concurrency: 10, drainTimeout: "50 millis" })),
        ),
      )
      for (let nth = 1; nth <= 10; nth++) {
        yield* Slow.submit({})
        while (running < nth) yield* Effect.sleep("5 millis")
      }
    }).pipe(Effect.scoped, Effect.provide(Engine)))
})

describe("an executor that serves a task with a rate limit, and others", () => {
  const Limited = Task.make("test/limited", {
    policy: { rateLimit: { limit: 1000, perMillis: 1000, burst: 100 } },
  })

  it.live("starts its runs while the others have none", () =>
    Effect.gen(function* () {
      yield* Layer.build(
        Layer.merge(Limited.toLayer(() => Effect.void), Slow.toLayer(() => Effect.void)).pipe(
          Layer.provide(Executor.layer),
        ),
      )
      // The trip that waits for runs of the other task is under way by then.
      yield* Effect.sleep("200 millis")
      for (let nth = 0; nth < 3; nth++) yield* Limited.result(yield* Limited.submit({}))
      // The trip waits for twenty seconds.
    }).pipe(Effect.timeout("15 seconds"), Effect.scoped, Effect.provide(Engine)), 30_000)
})

describe("a group of tasks", () => {
  it.live("N29: is carried out until its program ends, and not begun with settings that cannot be", () =>
    Effect.gen(function* () {
      const [one, other] = [Task.make("test/one"), Task.make("test/other")]
      const done: Array<string> = []
      const handlers = Layer.mergeAll(
        one.toLayer(() => Effect.sync(() => void done.push("one"))),
        other.toLayer(() => Effect.sync(() => void done.push("other"))),
      )
      const started = (options: ExecutorOptions) =>
        Layer.launch(Layer.provide(handlers, Executor.layerWith(options)))
      const refused = yield* Effect.flip(started({ concurrency: 0 }))
      assert.deepInclude(refused, { _tag: "Refused", field: "executor.concurrency" })
      const program = yield* Effect.forkChild(started({}), { startImmediately: true })
      yield* one.execute({})
      yield* other.execute({})
      assert.deepStrictEqual(done, ["one", "other"])
      assert.isUndefined(program.pollUnsafe())
      yield* Fiber.interrupt(program)
      const { executors } = yield* Storage
      assert.deepStrictEqual(
        (yield* executors.list(standard)).map(({ standing }) => standing),
        ["left"],
      )
    }).pipe(Effect.provide(Engine)))
})

describe("an executor whose program is interrupted", () => {
  it.live("finishes what runs, and leaves", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const handler = Slow.toLayer(() =>
        Effect.andThen(Deferred.succeed(started, undefined), Effect.sleep("300 millis"))
      )
      const program = yield* Layer.launch(handler.pipe(Layer.provide(Executor.layer))).pipe(
        Effect.forkChild({ startImmediately: true }),
      )
      const run = yield* Slow.submit({})
      yield* Deferred.await(started)
      yield* Fiber.interrupt(program)

      const { executors, runs } = yield* Storage
      const view = yield* Effect.flatMap(runs.find(run), Effect.fromOption)
      assert.strictEqual(view.state, "Succeeded")
      assert.deepStrictEqual(
        (yield* executors.list(standard)).map(({ standing }) => standing),
        ["left"],
      )
    }).pipe(Effect.provide(Engine)))
})

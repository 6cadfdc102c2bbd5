import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const Slow = Task.make("test/slow")

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
    }).pipe(Effect.provide(
      Layer.mergeAll(Scheduler.layer, Direct.layer).pipe(
        Layer.provide(LocalOwnership.layer),
        Layer.provideMerge(Memory.layer),
      ),
    )))
})

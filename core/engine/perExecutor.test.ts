/**
 * Blocking per executor, within one process, whatever happens around it.
 *
 * Tried, and caught:
 *
 * | mistake                                        | caught by                                   |
 * | ---------------------------------------------- | ------------------------------------------- |
 * | as many are claimed as the pool has room for   | all of these, and the engine contract       |
 * | places forgotten when the session is lost      | its incarnation is lost                     |
 * | stands back for a trip that waits for work     | across registrations: 20 seconds for nothing |
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { until } from "../contract/program.ts"
import { times } from "../contract/world.ts"
import * as Blocking from "../domain/Blocking.ts"
import type { RunId } from "../domain/RunId.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
import { Transport, TransportUnavailable } from "../services/Transport.ts"
import { CurrentRun } from "./CurrentRun.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const Alone = Task.make("alone", {
  policy: { blocking: Blocking.fifo, blockingScope: "executor" },
})
const Pair = Task.make("pair", {
  policy: { blocking: Blocking.concurrent(2), blockingScope: "executor" },
})
const Other = Task.make("other")

const scheduler = Layer.provide(
  Scheduler.layerWith({ sweepInterval: "50 millis" }),
  LocalOwnership.layer,
)
const world = Layer.provideMerge(Layer.merge(scheduler, Direct.layer), Memory.layer)

const counted = () => {
  const seen = { under: 0, most: 0 }
  const count = <E, R>(work: Effect.Effect<void, E, R>) =>
    Effect.suspend(() => {
      seen.most = Math.max(seen.most, ++seen.under)
      return Effect.ensuring(work, Effect.sync(() => void seen.under--))
    })
  return { seen, count }
}

describe("blocking per executor", () => {
  it.live("holds while requests and answers get lost", () =>
    Effect.gen(function* () {
      const inner = yield* Transport
      const { count, seen } = counted()
      const both = yield* Deferred.make<void>()
      const work = Effect.suspend(() =>
        Effect.andThen(
          seen.under === 2 ? Deferred.succeed(both, undefined) : Effect.void,
          Effect.andThen(Deferred.await(both), Effect.sleep("20 millis")),
        )
      )
      let rounds = 0
      const flaky = behind(inner, (operation, call) => {
        if (operation !== "round") return call
        const lost = Effect.fail(
          new TransportUnavailable({ operation, cause: new Error("lost") }) as never,
        )
        return Effect.suspend(() => {
          const nth = rounds++ % 4
          return nth === 1 ? lost : nth === 3 ? Effect.andThen(call, lost) : call
        })
      })
      yield* Layer.build(
        Pair.toLayer(() => count(work)).pipe(
          Layer.provide(Layer.fresh(Executor.layerWith({ ttl: "2 seconds" }))),
          Layer.provide(Layer.succeed(Transport, flaky)),
        ),
      )
      const runs = yield* Effect.forEach(times(12), () => Pair.submit({}))
      for (const run of runs) yield* Pair.result(run)
      assert.strictEqual(seen.most, 2)
      assert.isAbove(rounds, 12)
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.live("holds across registrations of its task", () =>
    Effect.gen(function* () {
      const executor = yield* Effect.map(
        Layer.build(Executor.layerWith({})),
        (context) => Layer.succeedContext(context),
      )
      const goOn = yield* Deferred.make<void>()
      const begun: Array<RunId> = []
      const work = CurrentRun.use(({ id }) => {
        begun.push(id)
        return Deferred.await(goOn)
      })
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        Layer.provide(Alone.toLayer(() => work), executor),
        scope,
      )
      const first = yield* Alone.submit({})
      yield* until(Effect.sync(() => begun.length), (length) => length === 1)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), {
        startImmediately: true,
      })
      yield* Layer.build(
        Layer.provide(
          Layer.merge(Alone.toLayer(() => work), Other.toLayer(() => Effect.void)),
          executor,
        ),
      )
      const second = yield* Alone.submit({})
      yield* Other.execute({})
      yield* Effect.sleep("150 millis")
      assert.deepStrictEqual(begun, [first])
      yield* Deferred.succeed(goOn, undefined)
      // No longer than its trips take, although another claim waits for work that does not come.
      const ended = yield* Effect.timeoutOption(Alone.result(second), "10 seconds")
      assert.isTrue(Option.isSome(ended))
      yield* Fiber.join(closing)
      assert.deepStrictEqual(begun, [first, second])
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.live("goes on when its incarnation is lost, with no more than before", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const { count, seen } = counted()
      let isHeldUp = true
      // The one that is interrupted takes its time, so that the next incarnation is there meanwhile.
      const work = Effect.suspend(() =>
        isHeldUp
          ? Effect.ensuring(Effect.never, Effect.sleep("300 millis"))
          : Effect.sleep("5 millis")
      )
      yield* Layer.build(
        Layer.provide(
          Alone.toLayer(() => count(work)),
          Layer.fresh(Executor.layerWith({ ttl: "2 seconds" })),
        ),
      )
      const runs = yield* Effect.forEach(times(4), () => Alone.submit({}))
      yield* until(Effect.sync(() => seen.under), (under) => under === 1)
      isHeldUp = false
      const [self] = yield* executors.list(standard)
      yield* executors.leave(self!.incarnation)
      for (const run of runs) yield* Alone.result(run)
      assert.strictEqual(seen.most, 1)
      assert.isAbove((yield* executors.list(standard)).length, 1)
    }).pipe(Effect.scoped, Effect.provide(world)))
})

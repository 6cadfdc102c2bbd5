/**
 * The invariants of the product over a storage, as tests in real time: each is named after the
 * invariants that it is of. `docs/proof.md` says where the others are.
 *
 * The engine is the real one, and what it did is judged by a ledger that the handlers write. Processes
 * are cut off rather than killed, which is the harder case: they go on, and come back.
 *
 * They run at once and wait for facts. Bounds are those of the invariants, and what the machine itself
 * has held everybody up meanwhile comes on top (`invariants/stalls.ts`).
 */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { CurrentNamespace } from "../engine/CurrentNamespace.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import * as StandbyOwnership from "../engine/StandbyOwnership.ts"
import * as Task from "../engine/Task.ts"
import * as Trigger from "../engine/Trigger.ts"
import { Triggers } from "../engine/Triggers.ts"
import { Lock } from "../services/Lock.ts"
import { Storage } from "../services/Storage.ts"
import { behind } from "./behind.ts"
import { kept } from "./invariants/kept.ts"
import { Ledger } from "./invariants/Ledger.ts"
import { ordered } from "./invariants/ordered.ts"
import { cuttable } from "./invariants/processes.ts"
import { stalls } from "./invariants/stalls.ts"
import { type Base, engine, inFreshNamespace, programOver, serving, state } from "./program.ts"
import { block, fresh, times, withClockOff } from "./world.ts"

const timeout = 90_000

/** A storage whose clock can be set: to so many milliseconds off what it would say. */
export interface Clocked<R, E> {
  readonly base: Layer.Layer<Base | R, E>
  readonly set: (byMillis: number) => Effect.Effect<unknown, unknown, R>
}

export const suite = <E, R, E2>(
  adapter: string,
  base: Layer.Layer<Base, E>,
  clocked: Clocked<R, E2>,
): void => {
  const runner = "live"

  block(`invariants, ${adapter}`, programOver(base), { runner, isConcurrent: true }, (it) => {
    kept((name, body) => it.effect(name, () => inFreshNamespace(body()), timeout))
    ordered((name, body) => it.effect(name, () => inFreshNamespace(body()), timeout))
  })

  // Whoever else held the duties would fire as well.
  block(`invariants of leaders, ${adapter}`, base, { runner }, (it) => {
    it.effect(
      "L3 new leader: when the one that fires falls silent another does so soon",
      () =>
        inFreshNamespace(Effect.gen(function* () {
          const ttlMillis = 2000
          const stalled = yield* stalls
          const namespace = yield* CurrentNamespace
          const ledger = new Ledger()
          const name = fresh("leaders")
          const leader = Layer.build(Layer.fresh(
            Layer.merge(Scheduler.layerWith({ sweepInterval: "300 millis" }), Triggers.layer).pipe(
              Layer.provide(StandbyOwnership.layer({ name, ttl: ttlMillis })),
            ),
          ))
          const { between, cut } = yield* cuttable
          yield* leader.pipe(
            Effect.provideService(Lock, behind(yield* Lock, between)),
            Effect.provideService(Storage, behind(yield* Storage, between)),
          )
          const client = Layer.build(Layer.merge(Triggers.layerClient, Scheduler.layerClient))
          const tick = Task.make("tick")
          yield* serving(tick.toLayer(() => ledger.around("b", Effect.void)))
          yield* Layer.build(tick.schedule("secondly", Trigger.cron("* * * * * *"), {})).pipe(
            Effect.provide(yield* client),
          )
          yield* ledger.until((entries) => entries.length >= 2)
          yield* leader
          yield* cut
          const at = performance.now()
          const cutAt = yield* Storage.use(({ now }) => now)
          // What is due within the next second the one before may have handed over to the storage.
          const later = () => ledger.of("started").find(({ slot }) => slot! > cutAt + 1000)
          yield* ledger.until(() => later() !== undefined)
          assert.isAtMost(later()!.at - at, ttlMillis + 2000 + stalled(at))
          const { pause, records } = Context.get(yield* client, Triggers)
          yield* pause(namespace, "secondly")
          const slots = (yield* records(namespace, "secondly", 100)).filter(({ outcome }) =>
            outcome === "fired"
          ).map(({ slot }) => slot)
          assert.strictEqual(new Set(slots).size, slots.length)
        })),
      timeout,
    )
  })

  const inClocked = Layer.provideMerge(engine, clocked.base)
  block(`invariants of clocks, ${adapter}`, inClocked, { runner }, (it) => {
    it.effect(
      "I22 clock independence: set by an hour, nothing is lost, and nothing done twice",
      () =>
        inFreshNamespace(Effect.gen(function* () {
          const ledger = new Ledger()
          const ticks = new Ledger()
          const namespace = yield* CurrentNamespace
          const long = Task.make("long")
          const short = Task.make("short")
          const tick = Task.make("tick")
          // Nor does it matter what an executor takes for the time.
          yield* withClockOff(-5_400_000)(serving(
            Layer.mergeAll(
              long.toLayer(() => ledger.around("b", Effect.sleep("5 seconds"))),
              short.toLayer(() => ledger.around("b", Effect.void)),
              tick.toLayer(() => ticks.around("b", Effect.void)),
            ),
            { ttl: "10 seconds" },
          ))
          yield* Layer.build(tick.schedule("secondly", Trigger.cron("* * * * * *"), {}))
          const runs = [yield* long.submit({})]
          yield* ticks.until((entries) => entries.length > 0)
          for (const byMillis of [3_600_000, -3_600_000, -3_600_000]) {
            yield* clocked.set(byMillis)
            for (const _ of times(5)) runs.push(yield* short.submit({}))
            yield* Effect.sleep("1200 millis")
          }
          for (const run of runs) yield* Scheduler.use(({ ended }) => ended(run))
          for (const run of runs) {
            assert.deepInclude(yield* state(run), { state: "Succeeded", attempt: 1 })
            assert.strictEqual(ledger.of("started").filter((each) => each.run === run).length, 1)
          }
          const slots = ticks.of("started").map(({ slot }) => slot)
          assert.strictEqual(new Set(slots).size, slots.length, "no slot was begun twice")
          const views = yield* Storage.use(({ executors }) => executors.list(namespace))
          assert.deepStrictEqual(views.map(({ standing }) => standing), ["live"])
        })),
      timeout,
    )
  })
}

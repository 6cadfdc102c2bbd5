/**
 * An executor whose fibers yield anywhere, as those of a busy process do, while its beats come often.
 *
 * Tried, and caught: reports that are taken before they are on their way. A beat in between knew of
 * neither, and what had just ended was given to others: it was done twice.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Scheduler as Fibers, Schema } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { until } from "../contract/program.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const Work = Task.make("work", { payload: { nth: Schema.Int } })

const count = 4000

/** Yields after few operations, now more, now less. */
class Restless extends Fibers.MixedScheduler {
  #state = 1
  override shouldYield(fiber: Parameters<Fibers.MixedScheduler["shouldYield"]>[0]) {
    this.#state = (this.#state * 48271) % 2147483647
    return fiber.currentOpCount > this.#state % 40
  }
}

const busy = (millis: number) => {
  const until = performance.now() + millis
  while (performance.now() < until);
}

const world = Layer.provideMerge(
  Layer.merge(Layer.provide(Scheduler.layer, LocalOwnership.layer), Direct.layer),
  Memory.layer,
)

const executor = Executor.layerWith({ concurrency: 10, ttl: "2 seconds" })

it.live("what has ended is not given to others while its report is on its way", () =>
  Effect.gen(function* () {
    const { runs } = yield* Storage
    const times = new Map<number, number>()
    for (let executors = 0; executors < 8; executors++) {
      const live = Work.toLayer(({ nth }) =>
        Effect.sync(() => {
          times.set(nth, (times.get(nth) ?? 0) + 1)
          busy(0.5)
        })
      )
      yield* Layer.build(Layer.provide(live, Layer.fresh(executor)))
    }
    const scheduler = yield* Scheduler
    yield* scheduler.submitAll(Array.from({ length: count }, (_, nth) => ({
      task: Work.name,
      payload: JSON.stringify({ nth }),
      policy: Work.policy,
    })))
    yield* until(runs.counts(standard), ({ Succeeded = 0 }) => Succeeded === count)
    assert.deepEqual([...times].filter(([, often]) => often > 1), [])
  }).pipe(Effect.provide(world), Effect.provideService(Fibers.Scheduler, new Restless())))

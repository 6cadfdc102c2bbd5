import { assert, it } from "@effect/vitest"
import { Clock, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import * as Retry from "../domain/Retry.ts"
import { Storage } from "../services/Storage.ts"
import { Breakers } from "./Breakers.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const Send = Task.make("sms/send", {
  payload: { n: Schema.Int },
  policy: {
    breaker: "gateway",
    retry: Retry.exponential({ attempts: 10, delayMillis: 1000, growth: 1 }),
    timeout: "10 seconds",
  },
})

const program = Layer.mergeAll(Scheduler.layer, Breakers.layer, Direct.layer).pipe(
  Layer.provide(LocalOwnership.layer),
  Layer.provideMerge(Memory.layer),
)

const messages = 3000
const failsFrom = 1000
const outageMillis = 120_000

it.effect("A17: while a gateway fails few calls reach it; none is lost, none is made twice", () =>
  Effect.gen(function* () {
    const scheduler = yield* Scheduler
    const breakers = yield* Breakers
    yield* breakers.set("gateway", { callsMin: 20, window: "10 seconds", openFor: "20 seconds" })
    const sent = new Map<number, number>()
    let failingSince: number | undefined
    /** Instants of calls that failed. */
    const failed: Array<number> = []
    const call = (n: number) =>
      Effect.gen(function* () {
        yield* Effect.sleep("10 millis")
        const now = yield* Clock.currentTimeMillis
        if (failingSince === undefined && sent.size >= failsFrom) failingSince = now
        if (failingSince !== undefined && now < failingSince + outageMillis) {
          failed.push(now)
          return yield* Effect.die(new Error("the gateway is down"))
        }
        sent.set(n, (sent.get(n) ?? 0) + 1)
      })
    const places = 5
    for (let executors = 0; executors < 3; executors++) {
      yield* Layer.build(Layer.fresh(
        Layer.provide(
          Send.toLayer(({ n }) => call(n)),
          Executor.layerWith({ concurrency: places }),
        ),
      ))
    }
    yield* scheduler.submitAll(Array.from({ length: messages }, (_, n) => ({
      task: Send.name,
      payload: JSON.stringify({ n }),
      policy: Send.policy,
    })))

    let turns = 0
    while (sent.size < messages && turns++ < 5000) {
      yield* TestClock.adjust("100 millis")
    }
    assert.strictEqual(sent.size, messages, "none is lost")
    assert.deepEqual([...sent.values()].filter((count) => count > 1), [], "none is sent twice")
    // As many in a row as it takes to open, those under way then, and the probes after.
    const openings = outageMillis / 20_000
    assert.isAtMost(failed.length, 20 + 3 * places + 3 * openings)
    // Only runs that were under way, or probes, lost an attempt.
    const { runs } = yield* Storage
    const all = yield* runs.list({ namespace: "default" as never, limit: 10_000 })
    assert.strictEqual(all.filter(({ state }) => state !== "Succeeded").length, 0)
    assert.strictEqual(
      all.reduce((sum, { attempt }) => sum + attempt, 0),
      messages + failed.length,
      "who waits loses no attempt",
    )
    assert.strictEqual((yield* breakers.find("gateway")).state, "Closed")
  }).pipe(Effect.provide(program), Effect.scoped))

/**
 * A hundred thousand messages go out through a gateway that fails in the middle. Behind its breaker
 * those that wait stay where they are: few calls reach the gateway while it is down, none of the
 * messages is lost, and none goes out twice.
 */
import assert from "node:assert/strict"
import { Clock, Effect, Layer, Schema } from "effect"
import { Breakers, Retry, Scheduler, Task } from "belfry"
import * as Embedded from "belfry/embedded"
import * as Memory from "belfry/memory"

const messages = 100_000
const failsAfter = 10_000
const downMillis = 3_000

/** The gateway, as those who call it find it. */
const gateway = {
  sent: new Map<number, number>(),
  refused: 0,
  downSince: undefined as number | undefined,
}

const call = (message: number) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (gateway.sent.size === failsAfter) gateway.downSince ??= now
    if (now - (gateway.downSince ?? -Infinity) < downMillis) {
      gateway.refused++
      return yield* Effect.die(new Error("503 from the gateway"))
    }
    gateway.sent.set(message, (gateway.sent.get(message) ?? 0) + 1)
  })

const Sms = Task.make("sms/send", {
  payload: { message: Schema.Int },
  policy: {
    breaker: "sms-gateway",
    retry: Retry.exponential({ attempts: 10, delayMillis: 100, growth: 1 }),
  },
})

const program = Effect.gen(function* () {
  const breakers = yield* Breakers
  const scheduler = yield* Scheduler
  yield* breakers.set("sms-gateway", { openFor: "500 millis", probeEvery: "250 millis" })
  for (let first = 0; first < messages; first += 5_000) {
    yield* scheduler.submitAll(Array.from({ length: 5_000 }, (_, at) => ({
      task: Sms.name,
      payload: JSON.stringify({ message: first + at }),
      policy: Sms.policy,
    })))
  }
  while (gateway.sent.size < messages) yield* Effect.sleep("100 millis")
  const { state } = yield* breakers.find("sms-gateway")
  console.log(`${gateway.sent.size} sent, ${gateway.refused} calls refused, breaker ${state}`)
})

const Live = Sms.toLayer(({ message }) => call(message)).pipe(
  Layer.provideMerge(Embedded.layerWith({ concurrency: 50 })),
  Layer.provide(Memory.layer),
)

await Effect.runPromise(Effect.provide(program, Live))

assert.equal([...gateway.sent.values()].filter((times) => times > 1).length, 0)
// Twenty in a row open it, fifty may be under way then, and a few probes follow each time it tries.
assert(gateway.refused <= 20 + 50 + 3 * (downMillis / 500 + 1))

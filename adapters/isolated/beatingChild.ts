/** The thread that beats in its executor's stead: see `core/engine/Beats.ts`. */
import { Effect, Latch, Layer } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import type { Beat } from "../../core/engine/Beats.ts"
import { Transport } from "../../core/services/Transport.ts"

/** What `Beating.ts` names this module by. */
export type Url = string

export interface Opening {
  readonly transport: string
  readonly atMostMillis: number
}

const { atMostMillis, transport } = workerData as Opening

let last: { readonly beat: Beat; readonly at: number } | undefined
const isHeard = Latch.makeUnsafe()

parentPort!.on("message", (beat: Beat | undefined) => {
  last = beat && { beat, at: performance.now() }
  isHeard.openUnsafe()
})

const beating = Effect.gen(function* () {
  const { beat } = yield* Transport
  parentPort!.postMessage("ready")
  for (;;) {
    if (last === undefined) {
      isHeard.closeUnsafe()
      yield* isHeard.await
      continue
    }
    const { beat: { held, incarnation, ttlMillis, vitals }, at } = last
    // It beats every quarter by itself, and may take another for the answer.
    yield* Effect.sleep(ttlMillis / 8)
    const stalledMillis = Math.round(performance.now() - at)
    if (last?.at !== at || stalledMillis < ttlMillis * 0.4 || stalledMillis > atMostMillis) continue
    yield* beat(incarnation, held, { ...vitals, stalledMillis }).pipe(
      Effect.timeout(ttlMillis / 4),
      Effect.ignore,
    )
    yield* Effect.sleep(ttlMillis / 8)
  }
})

const load = Effect.promise(() =>
  import(transport) as Promise<{ readonly default: Layer.Layer<Transport, unknown> }>
)

Effect.runPromise(
  Effect.flatMap(load, (module) => Effect.provide(beating, module.default)),
).catch((cause) => {
  throw cause
})

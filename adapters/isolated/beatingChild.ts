/** The thread that beats in its executor's stead: see `core/engine/Beats.ts`. */
import { Effect, Latch, type Layer, Option } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import type { Beat } from "../../core/engine/Beats.ts"
import { Transport } from "../../core/services/Transport.ts"
import { Kept, type Shared } from "./Kept.ts"

/** What `Beating.ts` names this module by. */
export type Url = string

export interface Opening {
  readonly transport: string
  readonly given: unknown
  readonly atMostMillis: number
  readonly kept: Shared
}

const { atMostMillis, given, kept, transport } = workerData as Opening
const lease = new Kept(kept)

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
    const sentAt = lease.now()
    const answer = yield* beat(incarnation, held, { ...vitals, stalledMillis }).pipe(
      Effect.timeout(ttlMillis / 4),
      Effect.option,
    )
    if (Option.isSome(answer) && answer.value._tag !== "Lost") lease.keep(incarnation, sentAt)
    yield* Effect.sleep(ttlMillis / 8)
  }
})

type Way = Layer.Layer<Transport, unknown>

const way = Effect.map(
  Effect.promise(() =>
    import(transport) as Promise<{ readonly default: Way | ((given: unknown) => Way) }>
  ),
  ({ default: found }) => typeof found === "function" ? found(given) : found,
)

Effect.runPromise(Effect.flatMap(way, (way) => Effect.provide(beating, way))).catch((cause) => {
  throw cause
})

/** The thread that beats in its executor's stead: see `core/engine/Beats.ts`. */
import { Effect, Latch, type Layer, Option } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import type { Beat } from "../../core/engine/Beats.ts"
import type { Ending, Report } from "../../core/services/RunStorage.ts"
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

export type Message = { readonly beat: Beat | undefined } | { readonly ending: Ending }

interface Last {
  readonly beat: Beat
  readonly at: number
  /** By when each run is to be ended. */
  readonly endings: Array<{ readonly at: number; readonly report: Report }>
}

let last: Last | undefined
const isHeard = Latch.makeUnsafe()

const timed = ({ inMillis, report }: Ending) => ({ at: performance.now() + inMillis, report })

parentPort!.on("message", (message: Message) => {
  if ("ending" in message) return last?.endings.push(timed(message.ending))
  const { beat } = message
  last = beat && { beat, at: performance.now(), endings: beat.endings.map(timed) }
  isHeard.openUnsafe()
})

/** At least so often it looks whether somebody is to be ended. */
const lookMillis = 250

const endOverdue = Effect.fnUntraced(function* (
  { settle }: Transport["Service"],
  { beat: { incarnation }, endings }: Last,
) {
  const now = performance.now()
  const due = endings.filter(({ at }) => at <= now)
  if (due.length === 0) return
  // What has ended meanwhile, or has passed on, takes no report.
  const answer = yield* Effect.option(settle(incarnation, due.map(({ report }) => report)))
  if (Option.isSome(answer)) { for (const each of due) endings.splice(endings.indexOf(each), 1) }
})

const beating = Effect.gen(function* () {
  const transport = yield* Transport
  parentPort!.postMessage("ready")
  let beatsAt = 0
  for (;;) {
    if (last === undefined) {
      isHeard.closeUnsafe()
      yield* isHeard.await
      continue
    }
    const heard = last
    const { beat: { held, incarnation, ttlMillis, vitals }, at } = heard
    yield* Effect.sleep(Math.min(lookMillis, ttlMillis / 8))
    const stalledMillis = Math.round(performance.now() - at)
    // It beats every quarter by itself, and may take another for the answer.
    if (last !== heard || stalledMillis < ttlMillis * 0.4) continue
    yield* endOverdue(transport, heard)
    if (performance.now() < beatsAt || stalledMillis > atMostMillis) continue
    const sentAt = lease.now()
    const answer = yield* transport.beat(incarnation, held, { ...vitals, stalledMillis }).pipe(
      Effect.timeout(ttlMillis / 4),
      Effect.option,
    )
    // Without an answer it is made again at the next look.
    if (Option.isNone(answer)) continue
    beatsAt = performance.now() + ttlMillis / 4
    if (answer.value._tag !== "Lost") lease.keep(incarnation, sentAt)
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

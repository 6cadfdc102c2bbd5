/** Waiting for an answer of the transport, however long none comes. */
import { Effect, Random } from "effect"

const leastMillis = 100
export const pauseMillisMax = 400

/** Until it is asked again: not by all in the same moment. */
export const pause: Effect.Effect<void> = Effect.flatMap(
  Random.next,
  (chance) => Effect.sleep(leastMillis + (pauseMillisMax - leastMillis) * chance),
)

/** Repeats a call while no answer comes. */
export const untilAnswered = <A, E extends { readonly _tag: string }>(
  call: Effect.Effect<A, E>,
): Effect.Effect<A, Exclude<E, { readonly _tag: "TransportUnavailable" }>> =>
  Effect.catch(
    call,
    (error) =>
      error._tag === "TransportUnavailable"
        ? Effect.logDebug(error).pipe(Effect.andThen(pause), Effect.andThen(untilAnswered(call)))
        : Effect.fail(error as Exclude<E, { readonly _tag: "TransportUnavailable" }>),
  )

/**
 * Tells a server that is away from one that does not open to this executor.
 *
 * A WebSocket that could not be opened does not say why. So the same address is then asked over
 * plain HTTP with the same token, and the status of the answer says whether it is worth trying on.
 */
import { Effect, Latch, Option, Redacted } from "effect"
import { JoinRefused } from "../../core/services/Transport.ts"

export interface Door {
  /** Asks why a connection was not opened. */
  readonly ask: Effect.Effect<void>
  /** Fails as soon as it is known that the server does not let this executor in. */
  readonly refusal: Effect.Effect<never, JoinRefused>
  /** Why it does not, as far as is known when a call has failed. */
  readonly verdict: Effect.Effect<Option.Option<JoinRefused>>
}

export const make = ({ token, url }: {
  readonly url: string | Effect.Effect<string>
  readonly token: Redacted.Redacted<string>
}): Door => {
  const isRefused = Latch.makeUnsafe()

  const look = Effect.gen(function* () {
    const address = typeof url === "string" ? url : yield* url
    const headers = { authorization: `Bearer ${Redacted.value(token)}` }
    const status = yield* Effect.tryPromise(async (signal) => {
      const answer = await fetch(address.replace(/^ws/, "http"), {
        headers,
        signal,
        redirect: "manual",
      })
      await answer.body?.cancel()
      return answer.status
    }).pipe(Effect.timeout("2 seconds"), Effect.option)
    const refusal = Option.flatMapNullishOr(status, refusalOf(address))
    yield* Option.isNone(refusal) ? isRefused.close : isRefused.open
    return refusal
  })

  // What was found before may not hold any more: servers are started anew with other tokens.
  return {
    ask: Effect.asVoid(look),
    refusal: isRefused.await.pipe(
      Effect.andThen(look),
      Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: Effect.fail })),
      Effect.forever,
    ),
    verdict: Effect.suspend(() => isRefused.isOpen() ? look : Effect.succeedNone),
  }
}

const refusalOf = (address: string) => (status: number): JoinRefused | undefined => {
  switch (status) {
    case 401:
      return new JoinRefused({
        reason: `${address} refused the token`,
        remedy: "Give the executor one of the tokens that the server was started with",
      })
    case 421:
      return new JoinRefused({
        reason: `${address} is a name that the server does not answer for`,
        remedy: "Start the server with that name, --served-as (in a program hosts), or use an " +
          "address that it knows",
      })
    default:
      return undefined
  }
}

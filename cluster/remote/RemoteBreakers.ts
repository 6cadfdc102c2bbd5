/** The circuit breakers of a server, over REST. */
import { Duration, Effect, Layer } from "effect"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { type BreakerOptions, Breakers, BreakerUnknown } from "../../core/engine/Breakers.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import * as ApiClient from "../api/ApiClient.ts"
import { refusedOr, unanswered, unless } from "./unanswered.ts"

export const layer = (options: ApiClient.AnyOptions): Layer.Layer<Breakers> =>
  Layer.effect(Breakers, make(options))

const make = Effect.fnUntraced(function* (options: ApiClient.AnyOptions) {
  const { breakers } = yield* ApiClient.anyOf(options)

  const here = (given: Namespace | undefined) =>
    given === undefined ? CurrentNamespace : Effect.succeed(given)

  const known = (name: string, operation: string) =>
    unless(operation, "BreakerUnknown", () => new BreakerUnknown({ name }))

  return Breakers.of({
    set: Effect.fnUntraced(function* (name, given, namespace) {
      return yield* breakers.put({
        params: { name },
        payload: { namespace: yield* here(namespace), ...settingsOf(given) },
      }).pipe(Effect.mapError(refusedOr("set a breaker")))
    }),
    order: Effect.fnUntraced(function* (breaker, to, words = {}, namespace) {
      const { key, name } = typeof breaker === "string"
        ? { name: breaker, key: undefined }
        : breaker
      return yield* breakers.order({
        params: { name },
        payload: {
          namespace: yield* here(namespace),
          to,
          ...words,
          ...(key !== undefined && { key }),
        },
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "BreakerUnknown"
            ? new BreakerUnknown({ name })
            : refusedOr("order a breaker")(error)
        ),
      )
    }),
    find: Effect.fnUntraced(function* (breaker, namespace) {
      const { key, name } = typeof breaker === "string"
        ? { name: breaker, key: undefined }
        : breaker
      return yield* breakers.get({
        params: { name },
        query: { namespace: yield* here(namespace), ...(key !== undefined && { key }) },
      }).pipe(known(name, "find a breaker"))
    }),
    keys: Effect.fnUntraced(function* (name, namespace) {
      const { items } = yield* breakers.keys({
        params: { name },
        query: { namespace: yield* here(namespace) },
      }).pipe(known(name, "list the keys of a breaker"))
      return items
    }),
    list: Effect.fnUntraced(function* (namespace) {
      const { items } = yield* breakers.list({ query: { namespace: yield* here(namespace) } }).pipe(
        Effect.mapError(unanswered("list breakers")),
      )
      return items
    }),
  })
})

const millis = (input: Duration.Input) =>
  Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input)))

const settingsOf = ({ openFor, probeEvery, slow, window, ...rest }: BreakerOptions) => ({
  ...rest,
  ...(slow !== undefined && { slowMillis: millis(slow) }),
  ...(window !== undefined && { windowMillis: millis(window) }),
  ...(openFor !== undefined && { openMillis: millis(openFor) }),
  ...(probeEvery !== undefined && { probeMillis: millis(probeEvery) }),
})

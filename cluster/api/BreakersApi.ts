/** Circuit breakers, over REST. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Namespace, standard } from "../../core/domain/Namespace.ts"
import { type BreakerRef, Breakers } from "../../core/engine/Breakers.ts"
import { breakerUnknown, refusal, storageProblem } from "./answers.ts"
import { Api } from "./Api.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "breakers",
  Effect.fnUntraced(function* (handlers) {
    const breakers = yield* Breakers

    const unknown = (namespace: Namespace, name: string) =>
      Effect.flatMap(
        breakers.list(namespace),
        (list) => Effect.fail(breakerUnknown(namespace, name, list)),
      )

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.map(breakers.list(query.namespace ?? standard), (items) => ({ items })).pipe(
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      get: ({ params: { name }, query: { key, namespace = standard } }) =>
        breakers.find(refOf(name, key), namespace).pipe(
          Effect.catchTag("BreakerUnknown", () => unknown(namespace, name)),
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      keys: ({ params: { name }, query: { namespace = standard } }) =>
        Effect.map(breakers.keys(name, namespace), (items) => ({ items })).pipe(
          Effect.catchTag("BreakerUnknown", () => unknown(namespace, name)),
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      put: ({ params: { name }, payload: { namespace = standard, ...given } }) =>
        breakers.set(name, {
          ...(given.failurePercent !== undefined && { failurePercent: given.failurePercent }),
          ...(given.badInARow !== undefined && { badInARow: given.badInARow }),
          ...(given.callsMin !== undefined && { callsMin: given.callsMin }),
          ...(given.probes !== undefined && { probes: given.probes }),
          ...(given.slowMillis !== undefined && { slow: given.slowMillis }),
          ...(given.windowMillis !== undefined && { window: given.windowMillis }),
          ...(given.openMillis !== undefined && { openFor: given.openMillis }),
          ...(given.probeMillis !== undefined && { probeEvery: given.probeMillis }),
        }, namespace).pipe(
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            Refused: (error) => Effect.fail(refusal(error)),
          }),
        ),

      order: ({ params: { name }, payload: { key, namespace = standard, to, ...words } }) =>
        breakers.order(refOf(name, key), to, words, namespace).pipe(
          Effect.catchTag("BreakerUnknown", () => unknown(namespace, name)),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            Refused: (error) => Effect.fail(refusal(error)),
          }),
        ),
    })
  }),
)

const refOf = (name: string, key: string | undefined): BreakerRef =>
  key === undefined ? name : { name, key }

/** Groups of tasks, over REST. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Namespace, standard } from "../../core/domain/Namespace.ts"
import { Groups, type GroupUnknown } from "../../core/engine/Groups.ts"
import { countsOf, groupUnknown, refusal, storageProblem } from "./answers.ts"
import { Api } from "./Api.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "groups",
  Effect.fnUntraced(function* (handlers) {
    const groups = yield* Groups

    const errors = (namespace: Namespace) => ({
      StorageUnavailable: storageProblem,
      GroupUnknown: ({ name }: GroupUnknown) =>
        Effect.flatMap(
          Effect.catchTag(groups.list(namespace), "StorageUnavailable", storageProblem),
          (list) => Effect.fail(groupUnknown(namespace, name, list)),
        ),
    })

    return handlers.handleAll({
      list: ({ query: { namespace = standard } }) =>
        Effect.map(groups.list(namespace), (items) => ({ items })).pipe(
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      get: ({ params: { name }, query: { namespace = standard, vocabulary } }) =>
        Effect.gen(function* () {
          const group = yield* groups.find(name, namespace)
          return { ...group, runs: countsOf(yield* groups.counts(name, namespace), vocabulary) }
        }).pipe(Effect.catchTags(errors(namespace))),

      pause: ({ params: { name }, payload: { namespace = standard, ...words } }) =>
        groups.pause(name, { ...words, namespace }).pipe(Effect.catchTags({
          ...errors(namespace),
          Refused: (error) => Effect.fail(refusal(error)),
        })),

      resume: ({ params: { name }, payload: { namespace = standard, ...words } }) =>
        groups.resume(name, { ...words, namespace }).pipe(Effect.catchTags({
          ...errors(namespace),
          Refused: (error) => Effect.fail(refusal(error)),
        })),

      cancel: ({ params: { name }, payload: { namespace = standard, ...order } }) =>
        groups.cancelSome(name, { ...order, namespace }).pipe(Effect.catchTags({
          ...errors(namespace),
          Refused: (error) => Effect.fail(refusal(error)),
        })),
    })
  }),
)

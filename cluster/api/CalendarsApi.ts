/** Calendars, over REST. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Namespace, standard } from "../../core/domain/Namespace.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { calendarOf, calendarUnknown, refusal, storageProblem } from "./answers.ts"
import { Api } from "./Api.ts"
import * as Problems from "./Problems.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "calendars",
  Effect.fnUntraced(function* (handlers) {
    const { calendars } = yield* Triggers

    const unknown = (namespace: Namespace, name: string) =>
      Effect.flatMap(
        calendars.list(namespace),
        (list) => Effect.fail(calendarUnknown(namespace, name, list)),
      )

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.map(calendars.list(query.namespace ?? standard), (items) => ({ items })).pipe(
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      get: ({ params: { name }, query }) => {
        const namespace = query.namespace ?? standard
        return calendars.find(namespace, name).pipe(
          Effect.map(calendarOf),
          Effect.catchTag("CalendarUnknown", () => unknown(namespace, name)),
          Effect.catchTag("StorageUnavailable", storageProblem),
        )
      },

      put: ({ params: { name }, payload }) =>
        calendars.put({ ...payload, name, namespace: payload.namespace ?? standard }).pipe(
          Effect.map(calendarOf),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            Refused: (error) => Effect.fail(refusal(error)),
          }),
        ),

      remove: ({ params: { name }, query }) => {
        const namespace = query.namespace ?? standard
        return calendars.remove(namespace, name).pipe(
          Effect.catchTag("CalendarUnknown", () => unknown(namespace, name)),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            Refused: ({ field, reason, remedy }) =>
              Effect.fail(
                new Problems.CalendarInUse({
                  detail: `${reason}.`,
                  remedy: `${remedy}.`,
                  field,
                  reason,
                }),
              ),
          }),
        )
      },
    })
  }),
)

/** The triggers of a server, over REST: an executor without a database may bring its own. */
import { Effect, Layer } from "effect"
import * as Calendar from "../../core/domain/Calendar.ts"
import { CalendarUnknown, Triggers, TriggerUnknown } from "../../core/engine/Triggers.ts"
import type { SlotRecord, TriggerView } from "../../core/services/TriggerStorage.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { TriggerDefinition, TriggerId } from "../../core/domain/Trigger.ts"
import { scheduleOf, toSchedule } from "../api/answers.ts"
import * as ApiClient from "../api/ApiClient.ts"
import type * as Views from "../api/Views.ts"
import { refusedOr, unanswered, unless } from "./unanswered.ts"

export const layer = (options: ApiClient.Options): Layer.Layer<Triggers> =>
  Layer.effect(Triggers, make(options))

const make = Effect.fnUntraced(function* (options: ApiClient.Options) {
  const { calendars, triggers } = yield* ApiClient.make(options)

  const known = (name: string, operation: string) =>
    unless(operation, "TriggerUnknown", () => new TriggerUnknown({ name }))

  const at = (namespace: Namespace, name: string) => ({ params: { name }, query: { namespace } })

  return Triggers.of({
    calendars: {
      put: Effect.fnUntraced(function* (input) {
        const { holidays, name, namespace, rest, workdays } = yield* Effect.fromResult(
          Calendar.make(input),
        )
        return keptOf(
          yield* calendars.put({
            params: { name },
            payload: { namespace, rest, holidays, workdays },
          }).pipe(Effect.mapError(refusedOr("put a calendar"))),
        )
      }),
      find: (namespace, name) =>
        calendars.get(at(namespace, name)).pipe(
          unless("find a calendar", "CalendarUnknown", () => new CalendarUnknown({ name })),
          Effect.map(keptOf),
        ),
      list: (namespace) =>
        calendars.list({ query: { namespace } }).pipe(
          Effect.mapError(unanswered("list calendars")),
          Effect.map(({ items }) => items),
        ),
      remove: (namespace, name) =>
        Effect.mapError(
          calendars.remove(at(namespace, name)),
          (error) =>
            error._tag === "CalendarUnknown"
              ? new CalendarUnknown({ name })
              : refusedOr("remove a calendar")(error),
        ),
    },
    put: ({ blockingKey, graceMillis, misfire, name, namespace, payload, schedule, task }) =>
      triggers.put({
        params: { name },
        payload: {
          namespace,
          task: task as TriggerDefinition["task"],
          schedule: scheduleOf(schedule),
          payload: JSON.parse(payload),
          ...(misfire !== undefined && { misfire }),
          ...(graceMillis !== undefined && { graceMillis }),
          ...(blockingKey !== undefined && { blockingKey }),
        },
      }).pipe(Effect.mapError(refusedOr("put a trigger")), Effect.map(viewOf)),
    remove: (namespace, name) => triggers.remove(at(namespace, name)).pipe(known(name, "remove")),
    pause: (namespace, name) =>
      triggers.pause(at(namespace, name)).pipe(known(name, "pause"), Effect.map(viewOf)),
    resume: (namespace, name) =>
      triggers.resume(at(namespace, name)).pipe(known(name, "resume"), Effect.map(viewOf)),
    list: (namespace) =>
      triggers.list({ query: { namespace } }).pipe(
        Effect.mapError(unanswered("list triggers")),
        Effect.map(({ items }) => items.map(viewOf)),
      ),
    records: (namespace, name, limit) =>
      triggers.get({ params: { name }, query: { namespace, slots: limit } }).pipe(
        known(name, "records"),
        Effect.map(({ slots }) =>
          slots.map(({ slot, through, ...record }): SlotRecord => ({
            ...record,
            slot: slot.epochMilliseconds,
            through: through.epochMilliseconds,
          }))
        ),
      ),
  })
})

const keptOf = ({ revision, ...calendar }: Views.CalendarView) => ({
  calendar: new Calendar.Calendar(calendar),
  revision,
})

/** The number of a trigger is its storage's own, and of no use elsewhere. */
const viewOf = (
  {
    blockingKey,
    graceMillis,
    isPaused,
    misfire,
    name,
    namespace,
    nextSlot,
    payload,
    revision,
    schedule,
    task,
  }: Views.Trigger,
): TriggerView => ({
  id: TriggerId.make(0),
  definition: new TriggerDefinition({
    namespace,
    name,
    task,
    schedule: toSchedule(schedule),
    payload: JSON.stringify(payload),
    misfire,
    ...(graceMillis !== undefined && { graceMillis }),
    ...(blockingKey !== undefined && { blockingKey }),
  }),
  revision,
  isPaused,
  ...(nextSlot !== null && { cursor: nextSlot.epochMilliseconds }),
})

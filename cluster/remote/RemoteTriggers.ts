/** The triggers of a server, over REST: an executor without a database may bring its own. */
import { DateTime, Effect, Layer } from "effect"
import type { Schedule } from "../../core/domain/Trigger.ts"
import { Triggers, TriggerUnknown } from "../../core/engine/Triggers.ts"
import type { SlotRecord, TriggerView } from "../../core/services/TriggerStorage.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { TriggerDefinition, TriggerId } from "../../core/domain/Trigger.ts"
import { toSchedule } from "../api/answers.ts"
import * as ApiClient from "../api/ApiClient.ts"
import type * as Views from "../api/Views.ts"
import { refusedOr, unanswered, unless } from "./unanswered.ts"

export const layer = (options: ApiClient.Options): Layer.Layer<Triggers> =>
  Layer.effect(Triggers, make(options))

const make = Effect.fnUntraced(function* (options: ApiClient.Options) {
  const { triggers } = yield* ApiClient.make(options)

  const known = (name: string, operation: string) =>
    unless(operation, "TriggerUnknown", () => new TriggerUnknown({ name }))

  const at = (namespace: Namespace, name: string) => ({ params: { name }, query: { namespace } })

  return Triggers.of({
    put: ({ blockingKey, misfire, name, namespace, payload, schedule, task }) =>
      triggers.put({
        params: { name },
        payload: {
          namespace,
          task: task as TriggerDefinition["task"],
          schedule: written(schedule),
          payload: JSON.parse(payload),
          ...(misfire !== undefined && { misfire }),
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

const written = (schedule: Schedule): Views.Schedule => {
  switch (schedule._tag) {
    case "Cron":
      return { cron: schedule.expression, zone: schedule.zone }
    case "Every":
      return {
        everyMillis: schedule.millis,
        ...(schedule.anchor !== undefined && { anchor: DateTime.makeUnsafe(schedule.anchor) }),
      }
    case "At":
      return { at: DateTime.makeUnsafe(schedule.at) }
  }
}

/** The number of a trigger is its storage's own, and of no use elsewhere. */
const viewOf = (
  { blockingKey, isPaused, misfire, name, namespace, nextSlot, payload, revision, schedule, task }:
    Views.Trigger,
): TriggerView => ({
  id: TriggerId.make(0),
  definition: new TriggerDefinition({
    namespace,
    name,
    task,
    schedule: toSchedule(schedule),
    payload: JSON.stringify(payload),
    misfire,
    ...(blockingKey !== undefined && { blockingKey }),
  }),
  revision,
  isPaused,
  ...(nextSlot !== null && { cursor: nextSlot.epochMilliseconds }),
})

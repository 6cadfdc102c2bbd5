/** From what the core answers to what the API shows, and from its errors to problems. */
import { DateTime, Effect, type Schema } from "effect"
import type * as Views from "./Views.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import type { RunView } from "../../core/domain/RunView.ts"
import type * as Trigger from "../../core/domain/Trigger.ts"
import type { OrderRefused } from "../../core/engine/Scheduler.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { DefinedTask } from "../../core/services/TaskStorage.ts"
import type { SlotRecord, TriggerView } from "../../core/services/TriggerStorage.ts"
import * as Problems from "./Problems.ts"
import { suggest } from "./suggestions.ts"

/** The storage's own words may name hosts and statements: they go to the log. */
export const storageProblem = (
  error: StorageUnavailable,
): Effect.Effect<never, Problems.StorageUnavailable> =>
  Effect.andThen(
    Effect.logWarning("the storage did not answer a request", error),
    Effect.fail(
      new Problems.StorageUnavailable({
        detail: "The storage did not answer, or not in time.",
        remedy: "Try again; a submit with an Idempotency-Key may be repeated safely.",
      }),
    ),
  )

export const refusal = ({ field, reason, remedy }: Refused, at = field) =>
  new Problems.RequestRefused({
    detail: sentence(`${at}: ${reason}`),
    remedy: sentence(remedy),
    field: at,
    reason,
  })

const sentence = (text: string) => /[.!?]$/.test(text) ? text : `${text}.`

export const runUnknown = (id: number) =>
  new Problems.RunUnknown({
    detail: `There is no run ${id}.`,
    remedy: "Look for it in the list of runs; a finished run is kept for a limited time.",
    field: "id",
    reason: "no run has this id",
  })

export const orderRefused = ({ message, run, state }: OrderRefused) =>
  new Problems.OrderRefused({
    detail: sentence(message.charAt(0).toUpperCase() + message.slice(1)),
    remedy: `Look at the run and what became of it: belfry run events ${run}.`,
    state,
  })

export const taskUnknown = (
  namespace: Namespace,
  name: string,
  tasks: ReadonlyArray<DefinedTask>,
  field = "task",
) => {
  const names = tasks.map(({ definition }) => definition.name)
  return new Problems.TaskUnknown({
    ...unknown("task", namespace, name, names, "Start an executor that serves it."),
    field,
  })
}

export const triggerUnknown = (
  namespace: Namespace,
  name: string,
  triggers: ReadonlyArray<TriggerView>,
) => {
  const names = triggers.map(({ definition }) => definition.name)
  return new Problems.TriggerUnknown({
    ...unknown("trigger", namespace, name, names, "Put a trigger of this name first."),
    field: "name",
  })
}

const shownMax = 10

const unknown = (
  kind: string,
  namespace: Namespace,
  name: string,
  names: ReadonlyArray<string>,
  otherwise: string,
) => {
  const suggestions = suggest(name, names)
  const quoted = (names: ReadonlyArray<string>) => names.map((name) => `"${name}"`).join(", ")
  const more = names.length > shownMax ? `, and ${names.length - shownMax} more` : ""
  const present = names.length === 0
    ? `The namespace "${namespace}" has no ${kind}s.`
    : suggestions.length > 0
    ? `Did you mean ${quoted(suggestions)}?`
    : `There are ${quoted(names.slice(0, shownMax))}${more}.`
  return {
    detail: `There is no ${kind} "${name}" in the namespace "${namespace}". ${present}`,
    remedy: suggestions.length > 0 ? `Use the name of one that exists. ${otherwise}` : otherwise,
    reason: `no ${kind} has this name`,
    suggestions,
  }
}

/** What is stored is JSON text that the engine checked; anything else is shown as it is. */
const json = (text: string): Schema.Json => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const runOf = ({ payload, result, ...rest }: RunView): Views.Run => ({
  ...rest,
  payload: json(payload),
  ...(result !== undefined && { result: json(result) }),
})

export const summaryOf = (
  { failure, payload: _payload, result: _result, ...rest }: RunView,
): Views.RunSummary => {
  if (failure === undefined) return rest
  const { stack: _stack, ...shown } = failure
  return { ...rest, failure: shown }
}

export const taskOf = ({ definition, revision }: DefinedTask): Views.Task => {
  const { name, namespace, owner, policy, purpose } = definition
  return {
    namespace,
    name,
    policy,
    ...(owner !== undefined && { owner }),
    ...(purpose !== undefined && { purpose }),
    revision,
  }
}

const instant = (millis: number) => DateTime.makeUnsafe(millis)

export const scheduleOf = (schedule: Trigger.Schedule): Views.Schedule => {
  switch (schedule._tag) {
    case "Cron":
      return { cron: schedule.expression, zone: schedule.zone }
    case "Every":
      return {
        everyMillis: schedule.millis,
        ...(schedule.anchor !== undefined && { anchor: instant(schedule.anchor) }),
      }
    case "At":
      return { at: instant(schedule.at) }
  }
}

export const toSchedule = (schedule: Views.Schedule): Trigger.Schedule => {
  if ("cron" in schedule) {
    return { _tag: "Cron", expression: schedule.cron, zone: schedule.zone ?? "UTC" }
  }
  if ("everyMillis" in schedule) {
    return {
      _tag: "Every",
      millis: schedule.everyMillis,
      ...(schedule.anchor !== undefined && { anchor: DateTime.toEpochMillis(schedule.anchor) }),
    }
  }
  return { _tag: "At", at: DateTime.toEpochMillis(schedule.at) }
}

export const triggerOf = (
  { cursor, definition, isPaused, revision }: TriggerView,
): Views.Trigger => {
  const { blockingKey, misfire, name, namespace, payload, schedule, task } = definition
  return {
    namespace,
    name,
    task,
    schedule: scheduleOf(schedule),
    payload: json(payload),
    misfire,
    ...(blockingKey !== undefined && { blockingKey }),
    revision,
    isPaused,
    nextSlot: cursor === undefined ? null : instant(cursor),
  }
}

export const slotOf = ({ slot, through, ...rest }: SlotRecord) => ({
  ...rest,
  slot: instant(slot),
  through: instant(through),
})

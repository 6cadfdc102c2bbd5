/** From what the core answers to what the API shows, and from its errors to problems. */
import { Cause, Context, DateTime, Effect, Schema } from "effect"
import type * as Views from "./Views.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Ends from "../../core/domain/Ends.ts"
import { Refused } from "../../core/domain/Refused.ts"
import { StateName } from "../../core/domain/Run.ts"
import type { RunView } from "../../core/domain/RunView.ts"
import type { Tail } from "../../core/domain/Tailing.ts"
import type * as Trigger from "../../core/domain/Trigger.ts"
import { usual as usualPermanent } from "../../core/domain/Permanent.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { BackfillCutOff, Backfilled } from "../../core/engine/Asking.ts"
import type { SlotAuditReport } from "../../core/engine/SlotAuditor.ts"
import {
  statesOf,
  type Vocabulary,
  type Word,
  wordOf,
  wordsOf,
} from "../../core/domain/Vocabulary.ts"
import type { OrderRefused, RunChanged } from "../../core/engine/Scheduler.ts"
import { Spell } from "../../core/engine/Spell.ts"
import type { KeptCalendar } from "../../core/services/CalendarStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { DefinedTask, LastRun } from "../../core/services/TaskStorage.ts"
import type {
  SlotRecord,
  TailView,
  TriggerChanged,
  TriggerVersion,
  TriggerView,
} from "../../core/services/TriggerStorage.ts"
import { listMax } from "./Api.ts"
import * as Problems from "./Problems.ts"
import { suggest } from "../../core/domain/suggestions.ts"

/** Of all requests of a process: however many come in an outage, the log tells of some. */
const Unanswered = Context.Reference<Spell>("belfry/cluster/api/Unanswered", {
  defaultValue: () => new Spell("answer a request, as the storage does not"),
})

/** The storage's own words may name hosts and statements: they go to the log. */
export const storageProblem = (
  error: StorageUnavailable,
): Effect.Effect<never, Problems.StorageUnavailable> =>
  Effect.andThen(
    Effect.flatMap(Unanswered, (spell) => spell.failed(Cause.fail(error))),
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

export const executorUnknown = (namespace: Namespace, incarnation: number) =>
  new Problems.ExecutorUnknown({
    detail: `There is no executor ${incarnation} in the namespace "${namespace}", or not any more.`,
    remedy: "Look for it in the list of executors; each start of one has a number of its own.",
    field: "incarnation",
    reason: "no executor that is here has this number",
  })

export const runChanged = ({ message, revision, run }: RunChanged) =>
  new Problems.RunChanged({
    detail: sentence(message.charAt(0).toUpperCase() + message.slice(1)),
    remedy: `Look at what it is now, and change that: belfry run show ${run}.`,
    revision,
  })

export const orderRefused = ({ message, reason, run, state }: OrderRefused) =>
  new Problems.OrderRefused({
    detail: sentence(message.charAt(0).toUpperCase() + message.slice(1)),
    remedy: `Look at the run and what became of it: belfry run events ${run}.`,
    state,
    ...(reason !== undefined && { reason }),
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

/** What is to be known of a trigger whose task nobody has brought. */
export const unbrought = (
  namespace: Namespace,
  name: string,
  tasks: ReadonlyArray<DefinedTask>,
): NonNullable<Views.KeptTrigger["taskUnknown"]> => {
  const { detail, remedy, suggestions } = unknown(
    "task",
    namespace,
    name,
    tasks.map(({ definition }) => definition.name),
    "Start an executor that serves it: until then its slots fire by the usual policy.",
  )
  return { detail, remedy, suggestions }
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

export const calendarUnknown = (
  namespace: Namespace,
  name: string,
  calendars: ReadonlyArray<{ readonly name: string }>,
) =>
  new Problems.CalendarUnknown({
    ...unknown(
      "calendar",
      namespace,
      name,
      calendars.map((each) => each.name),
      "Put a calendar of this name first.",
    ),
    field: "name",
  })

export const breakerUnknown = (
  namespace: Namespace,
  name: string,
  breakers: ReadonlyArray<{ readonly name: string }>,
) =>
  new Problems.BreakerUnknown({
    ...unknown(
      "breaker",
      namespace,
      name,
      breakers.map((each) => each.name),
      "A breaker is known once a task that names it ran, or it was set.",
    ),
    field: "name",
  })

export const groupUnknown = (
  namespace: Namespace,
  name: string,
  groups: ReadonlyArray<{ readonly name: string }>,
) =>
  new Problems.GroupUnknown({
    ...unknown(
      "group",
      namespace,
      name,
      groups.map((each) => each.name),
      "A group is known once a task that names it is.",
    ),
    field: "name",
  })

export const calendarOf = ({ calendar, revision }: KeptCalendar): Views.CalendarView => ({
  namespace: calendar.namespace,
  name: calendar.name,
  rest: calendar.rest,
  holidays: calendar.holidays,
  workdays: calendar.workdays,
  revision,
})

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
  // Of those that come by pages only the first are known here.
  const others = names.length - shownMax
  const more = others <= 0 ? "" : names.length < listMax ? `, and ${others} more` : ", and more"
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

/** A state in the words of `vocabulary`, or in ours; what is no state stays as it is. */
export const said = <S extends string>(state: S, vocabulary: Vocabulary | undefined): S | Word =>
  vocabulary !== undefined && isStateName(state) ? wordOf(state, vocabulary) : state

const isStateName: (text: string) => text is StateName = Schema.is(StateName)

/** The states that somebody means who names them in `vocabulary`, or in our words. */
export const meant = (
  states: ReadonlyArray<Views.State>,
  vocabulary: Vocabulary | undefined,
): Effect.Effect<ReadonlyArray<StateName>, Problems.RequestRefused> => {
  const known: ReadonlyArray<string> = vocabulary === undefined
    ? StateName.literals
    : wordsOf(vocabulary)
  const stranger = states.find((state) => !known.includes(state))
  if (stranger !== undefined) {
    return Effect.fail(refusal(
      new Refused({
        field: "state",
        reason: vocabulary === undefined
          ? `${stranger} is a word of another vocabulary`
          : `${stranger} is no word of the vocabulary ${vocabulary}`,
        remedy: `Name the vocabulary of the states, or use ${known.join(", ")}`,
      }),
    ))
  }
  return Effect.succeed(
    vocabulary === undefined
      ? states as ReadonlyArray<StateName>
      : states.flatMap((state) => statesOf(state, vocabulary)),
  )
}

/** How many there are of each word, or in each of our states. */
export const countsOf = (
  counts: Readonly<Partial<Record<StateName, number>>>,
  vocabulary: Vocabulary | undefined,
): Views.Status["runs"] => {
  const all: Record<string, number> = Object.fromEntries(
    (vocabulary === undefined ? StateName.literals : wordsOf(vocabulary)).map((word) => [word, 0]),
  )
  for (const state of StateName.literals) all[said(state, vocabulary)]! += counts[state] ?? 0
  return all
}

export const runOf = (
  { payload, result, state, ...rest }: RunView,
  vocabulary?: Vocabulary,
): Views.Run => ({
  ...rest,
  state: said(state, vocabulary),
  payload: json(payload),
  ...(result !== undefined && { result: json(result) }),
})

export const summaryOf = (
  { failure, payload: _payload, result: _result, state, ...others }: RunView,
  vocabulary?: Vocabulary,
): Views.RunSummary => {
  const rest = { ...others, state: said(state, vocabulary) }
  if (failure === undefined) return rest
  const { causes: _causes, stack: _stack, ...shown } = failure
  return { ...rest, failure: shown }
}

export const taskOf = (
  { definition, revision }: DefinedTask,
  isServed: boolean,
  last: LastRun | undefined,
): Views.Task => {
  const { hooks, name, namespace, owner, policy, purpose } = definition
  return {
    namespace,
    name,
    policy,
    ...(owner !== undefined && { owner }),
    ...(purpose !== undefined && { purpose }),
    ...(hooks !== undefined && { hooks }),
    revision,
    state: isServed ? "served" : "unserved",
    ...(last !== undefined && { last: lastOf(last) }),
  }
}

const lastOf = (
  { attempt, claimedAt, finishedAt, run, said, state }: LastRun,
): NonNullable<Views.Task["last"]> => ({
  run,
  state,
  attempt,
  startedAt: instant(claimedAt),
  finishedAt: instant(finishedAt),
  durationMillis: finishedAt - claimedAt,
  ...(said !== undefined && { said }),
})

const instant = (millis: number) => DateTime.makeUnsafe(millis)

export const scheduleOf = (schedule: Trigger.Schedule): Views.Schedule => {
  switch (schedule._tag) {
    case "Cron": {
      const { _tag, end, expression, start, ...rules } = schedule
      return { cron: expression, ...rules, ...span(start, end, instant) }
    }
    case "Every": {
      const { _tag, anchor, end, millis, start, ...rules } = schedule
      return {
        everyMillis: millis,
        ...rules,
        ...(anchor !== undefined && { anchor: instant(anchor) }),
        ...span(start, end, instant),
      }
    }
    case "At": {
      const { _tag, at, ...rules } = schedule
      return { at: instant(at), ...rules }
    }
    case "After": {
      const { _tag, task, ...rules } = schedule
      return { after: task, ...rules }
    }
    case "Tail": {
      const { _tag, source, ...rules } = schedule
      return { tail: source, ...rules }
    }
    case "Permanent": {
      const { _tag, ...permanent } = schedule
      return { permanent }
    }
  }
}

export const toSchedule = (schedule: Views.Schedule): Trigger.Schedule => {
  if ("cron" in schedule) {
    const { cron: expression, end, start, zone = "UTC", ...rules } = schedule
    return { _tag: "Cron", expression, zone, ...rules, ...span(start, end, millisOf) }
  }
  if ("everyMillis" in schedule) {
    const { anchor, end, everyMillis: millis, start, ...rules } = schedule
    return {
      _tag: "Every",
      millis,
      ...rules,
      ...(anchor !== undefined && { anchor: millisOf(anchor) }),
      ...span(start, end, millisOf),
    }
  }
  if ("after" in schedule) {
    const { after: task, on, ...rules } = schedule
    return { _tag: "After", task, on: Ends.resolve(on), ...rules }
  }
  if ("tail" in schedule) {
    const { from = "beginning", tail: source, unreadable = "skip", ...rules } = schedule
    return { _tag: "Tail", source, from, unreadable, ...rules }
  }
  if ("permanent" in schedule) return { ...usualPermanent, ...schedule.permanent }
  const { at, ...rules } = schedule
  return { _tag: "At", at: millisOf(at), ...rules }
}

const millisOf = (instant: DateTime.Utc) => DateTime.toEpochMillis(instant)

const span = <A, B>(start: A | undefined, end: A | undefined, as: (instant: A) => B) => ({
  ...(start !== undefined && { start: as(start) }),
  ...(end !== undefined && { end: as(end) }),
})

const tailOf = (
  { failingSince, movedAt, upTo, ...rest }: Tail,
): NonNullable<Views.Trigger["tail"]> => ({
  ...rest,
  ...(movedAt !== undefined && { movedAt: instant(movedAt) }),
  ...(upTo !== undefined && { upTo: instant(upTo) }),
  ...(failingSince !== undefined && { failingSince: instant(failingSince) }),
})

export const triggerOf = (
  { cursor, definition, id, isPaused, revision }: TriggerView,
  tails: ReadonlyArray<TailView> = [],
): Views.Trigger => {
  const tail = tails.find(({ view }) => view.id === id)?.tail
  const { name, namespace } = definition
  return {
    namespace,
    name,
    ...definitionOf(definition),
    revision,
    isPaused,
    nextSlot: cursor === undefined ? null : instant(cursor),
    ...(tail !== undefined && { tail: tailOf(tail) }),
  }
}

const definitionOf = (definition: Trigger.TriggerDefinition) => {
  const { blockingKey, graceMillis, misfire, payload, schedule, task, whileRunning } = definition
  return {
    task,
    schedule: scheduleOf(schedule),
    payload: json(payload),
    misfire,
    ...(graceMillis !== undefined && { graceMillis }),
    ...(blockingKey !== undefined && { blockingKey }),
    ...(whileRunning !== undefined && { whileRunning }),
  }
}

export const versionOf = (
  { definition, revision, since }: TriggerVersion,
): Views.TriggerVersion => ({
  revision,
  since: instant(since),
  ...(definition !== undefined && { definition: definitionOf(definition) }),
})

export const triggerChanged = ({ message, name, revision }: TriggerChanged) =>
  new Problems.TriggerChanged({
    detail: sentence(message.charAt(0).toUpperCase() + message.slice(1)),
    remedy: `Look at what it is now, and change that: belfry trigger show ${name}.`,
    revision,
  })

export const backfillCutOff = (name: string, { filled, message, reason }: BackfillCutOff) =>
  new Problems.BackfillCutOff({
    detail: sentence(message),
    remedy:
      `See which they are: belfry trigger slots ${name}. Ask again, under another key, to go on.`,
    filled,
    reason,
  })

export const backfilledOf = (request: string, { slots }: Backfilled): Views.Backfilled => ({
  request,
  slots: slots.map(({ answer, run, slot }) => ({
    slot: instant(slot),
    answer,
    ...(run !== undefined && { run }),
  })),
})

export const auditOf = ({ findings, judgedUpTo, now }: SlotAuditReport): Views.SlotAudit => ({
  now: instant(now),
  judgedUpTo: instant(judgedUpTo),
  findings: findings.map(({ foundAt, kind, name, slot, through }) => ({
    trigger: name,
    kind,
    slot: instant(slot),
    through: instant(through),
    foundAt: instant(foundAt),
  })),
})

export const keyConflict = (key: string, run: RunId) =>
  new Problems.KeyConflict({
    detail: `The idempotency key "${key}" was used for run ${run}, which has another payload.`,
    remedy: "Use a key of its own for each request.",
    field: "Idempotency-Key",
    reason: `it names run ${run} already`,
    run,
  })

export const slotOf = ({ slot, through, ...rest }: SlotRecord) => ({
  ...rest,
  slot: instant(slot),
  through: instant(through),
})

export const firedOf = (
  { after, asked, entry, latenessMillis, revision }: SlotRecord,
): NonNullable<Views.Run["fired"]> => ({
  kind: asked?.kind ??
    (after !== undefined ? "event" : entry !== undefined ? "entry" : "rule"),
  ...(revision !== undefined && { revision }),
  ...(entry !== undefined && { entry }),
  latenessMillis,
  ...(asked?.by !== undefined && { by: asked.by }),
})

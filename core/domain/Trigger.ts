/**
 * A trigger is a rule that yields the instants, its slots, at which a task is due.
 *
 * Every slot ends in a record: it fired, was skipped for a reason, or was coalesced into another.
 * `dueAfter` is the one place that says when they are: planner, storages, preview and tests all ask
 * it, `fires` with the reasons.
 */
import { DateTime, Result, Schema } from "effect"
import {
  type Calendar,
  type CalendarName,
  covers,
  dateOf,
  LocalDate,
  unknown as unknownCalendar,
} from "./Calendar.ts"
import * as Cron from "./Cron.ts"
import * as Following from "./Following.ts"
import { Namespace } from "./Namespace.ts"
import { Refused } from "./Refused.ts"
import * as Tailing from "./Tailing.ts"
import { TaskName } from "./Task.ts"
import * as Text from "./Text.ts"

export const TriggerName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$/, {
    message:
      "a trigger name has 1 to 127 characters: letters, digits, '.', '_', '/' or '-', the first a letter or digit",
  }),
).pipe(Schema.brand("TriggerName"))
export type TriggerName = typeof TriggerName.Type

/** A trigger as its storage numbers it. */
export const TriggerId = Schema.Int.pipe(Schema.brand("TriggerId"))
export type TriggerId = typeof TriggerId.Type

const span = {
  /** No slot before this instant. */
  start: Schema.optionalKey(Schema.Int),
  /** No slot from this instant on. */
  end: Schema.optionalKey(Schema.Int),
}

const jitter = {
  /** The run of a slot is due up to this much later, and before the next slot. */
  jitterMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 })),
  ),
}

/** Instants are milliseconds since 1970, as the storage clock tells them. */
export const Schedule = Schema.TaggedUnion({
  Cron: { ...Cron.fields, ...span, ...jitter },
  /**
   * `anchor`, `anchor` + interval, and so on; the anchor is `start`, or when the trigger was stored.
   */
  Every: {
    millis: Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 366 * 86_400_000 })),
    anchor: Schema.optionalKey(Schema.Int),
    ...span,
    ...jitter,
  },
  At: { at: Schema.Int, ...jitter },
  /** No instants: the runs of another task, as they end. */
  After: Following.fields,
  /** No instants: the entries of a source, as they come. */
  Tail: Tailing.fields,
  /** Always one run of it is alive: as soon as it has ended, by itself or not, there is another. */
  Permanent: {
    /** From the end of a run to the next one; after each that ended soon, `growth` times as long. */
    delayMillis: Schema.Int.check(Schema.isBetween({ minimum: 100, maximum: 86_400_000 })),
    growth: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 10 })),
    /** And never longer than this. */
    delayMaxMillis: Schema.Int.check(Schema.isBetween({ minimum: 100, maximum: 86_400_000 })),
    /** One that lived as long did not end soon. */
    steadyMillis: Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 86_400_000 })),
  },
})
export type Schedule = typeof Schedule.Type

/** It has no instants that could be told beforehand. */
type Timeless = Extract<Schedule, { readonly _tag: "After" | "Tail" | "Permanent" }>

const isTimeless = (schedule: Schedule): schedule is Timeless =>
  schedule._tag === "After" || schedule._tag === "Tail" || schedule._tag === "Permanent"

/** Its slots are named by what happens elsewhere: the ends of runs, or the entries of a source. */
export const isByEvent = (
  schedule: Schedule,
): schedule is Extract<Schedule, { readonly _tag: "After" | "Tail" }> =>
  schedule._tag === "After" || schedule._tag === "Tail"

/** Its runs get as their payload what it is that happens, instead of one of the trigger's. */
export const isPassedOn = (schedule: Schedule): boolean =>
  schedule._tag === "Tail" || (schedule._tag === "After" && schedule.passing !== undefined)

/** The calendar that a schedule names. */
export const calendarOf = (schedule: Schedule): CalendarName | undefined =>
  schedule._tag === "Cron" ? schedule.calendar : undefined

/** What becomes of slots that nobody fired in time. */
export const Misfire = Schema.TaggedUnion({
  Skip: {},
  /** The latest missed slot fires, the ones before it are coalesced into it. */
  Once: {},
  /** The latest `max` missed slots fire unless they are older than that, the others are skipped. */
  All: {
    max: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })),
    maxAgeMillis: Schema.optionalKey(
      Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 366 * 86_400_000 })),
    ),
  },
})
export type Misfire = typeof Misfire.Type

/**
 * What becomes of a slot while a run of this trigger is under way: it fires all the same, is skipped,
 * or makes a run that has failed without reaching a handler.
 */
export const WhileRunning = Schema.Literals(["allow", "skip", "fail"])
export type WhileRunning = typeof WhileRunning.Type

/** Why a slot was skipped, or its run has failed, by `WhileRunning`. */
export const stillRunning = (run: number): string => `previous run ${run} still running`

/** A slot later than this has misfired, unless its trigger says otherwise. */
export const usualGraceMillis = 60_000

export class TriggerDefinition extends Schema.Class<TriggerDefinition>("TriggerDefinition")({
  namespace: Namespace,
  name: TriggerName,
  task: TaskName,
  schedule: Schedule,
  /** JSON text, as every run of this trigger gets it. */
  payload: Schema.String.check(Text.kept),
  misfire: Misfire,
  /** A slot later than this has misfired; up to it, late is just late. */
  graceMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 86_400_000 })),
  ),
  /** Narrows the gate of a task that blocks by key, as `Blocking.gate` says. */
  blockingKey: Schema.optionalKey(Schema.String.check(Text.kept)),
  /** `allow` unless named. */
  whileRunning: Schema.optionalKey(WhileRunning),
}) {}

/** An interval keeps its anchor while its length stays, and gets one when it is new. */
export const anchored = (
  wanted: TriggerDefinition,
  known: TriggerDefinition | undefined,
  now: number,
): TriggerDefinition => {
  const { schedule } = wanted
  if (schedule._tag !== "Every" || schedule.anchor !== undefined) return wanted
  const before = known?.schedule
  const anchor = before?._tag === "Every" && before.millis === schedule.millis
    ? before.anchor ?? now
    : now
  return new TriggerDefinition({
    ...wanted,
    schedule: { ...schedule, anchor: schedule.start ?? anchor },
  })
}

/** Triggers are spread over this many partitions, the unit of ownership. */
export const partitions = 16

/** Triggers are stored under it, so it may never change. */
export const partitionOf = (namespace: Namespace, name: TriggerName): number =>
  hash(`${namespace}:${name}`) % partitions

/** FNV-1a over UTF-8. */
const hash = (text: string): number => {
  let sum = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) sum = Math.imul(sum ^ byte, 0x01000193)
  return sum >>> 0
}

/** The first slot after `after`, and what it stands for. The calendar is the one that is named. */
const dueAfter = (
  schedule: Schedule,
  after: number,
  calendar: Calendar | undefined,
): { readonly slot: number } | Cron.Due | undefined => {
  if (isTimeless(schedule)) return undefined
  if (schedule._tag === "At") return schedule.at > after ? { slot: schedule.at } : undefined
  const { end = Infinity, start = -Infinity } = schedule
  const from = Math.max(after, start - 1)
  const due = schedule._tag === "Cron"
    ? Cron.next(schedule, named(schedule, calendar), from)
    : { slot: tick(schedule.anchor ?? 0, schedule.millis, from) }
  return due === undefined || due.slot >= end ? undefined : due
}

const tick = (anchor: number, millis: number, after: number): number =>
  after < anchor ? anchor : anchor + (Math.floor((after - anchor) / millis) + 1) * millis

/** Without its calendar a schedule would fire on days that are free. */
const named = ({ calendar: name }: Cron.Rule, calendar: Calendar | undefined) => {
  if (name === undefined) return undefined
  if (calendar?.name !== name) throw new Error(`the calendar "${name}" is not at hand`)
  return calendar
}

/** The first slot after `after`, or `undefined` when there is none. */
export const slotAfter = (
  schedule: Schedule,
  after: number,
  calendar?: Calendar,
): number | undefined => dueAfter(schedule, after, calendar)?.slot

/** Whether each of its runs makes the next one, whatever comes of it. */
export const isCircle = ({ schedule, task }: TriggerDefinition): boolean =>
  schedule._tag === "After" && schedule.task === task && schedule.when === undefined &&
  schedule.on.includes("Succeeded")

/** All slots after `after`, lazily, strictly increasing. */
export function* slots(
  schedule: Schedule,
  after: number,
  calendar?: Calendar,
): Generator<number> {
  for (
    let slot = slotAfter(schedule, after, calendar);
    slot !== undefined;
    slot = slotAfter(schedule, slot, calendar)
  ) yield slot
}

/**
 * What `slotAfter` says, remembered for a while. A trigger that catches up step by step looks at the
 * slots before it once more with each step.
 */
const slotAfterSeen = (
  schedule: Schedule,
  after: number,
  calendar: Calendar | undefined,
): number | undefined => {
  if (schedule._tag !== "Cron") return slotAfter(schedule, after)
  let seen = slotsSeen.get(schedule)
  if (seen?.calendar !== calendar || seen === undefined) {
    slotsSeen.set(schedule, seen = { calendar, after: new Map() })
  }
  if (seen.after.has(after)) return seen.after.get(after)
  if (++slotsSeenCount > slotsSeenMax) {
    slotsSeen = new WeakMap([[schedule, seen = { calendar, after: new Map() }]])
    slotsSeenCount = 1
  }
  const slot = slotAfter(schedule, after, calendar)
  seen.after.set(after, slot)
  return slot
}

interface Seen {
  readonly calendar: Calendar | undefined
  readonly after: Map<number, number | undefined>
}

let slotsSeen = new WeakMap<Schedule, Seen>()
const slotsSeenMax = 50_000
let slotsSeenCount = 0

/**
 * The last `count` slots in [`from`, `to`], the earliest first.
 *
 * The window in which they are looked for doubles from `to` backwards, so that a trigger that was
 * down for weeks costs no more than one that was down for a minute.
 */
export const lastSlots = (
  schedule: Schedule,
  from: number,
  to: number,
  count: number,
  calendar?: Calendar,
): ReadonlyArray<number> => {
  for (let span = 60_000;; span *= 4) {
    const start = Math.max(from - 1, to - span)
    const found: Array<number> = []
    let slot = slotAfterSeen(schedule, start, calendar)
    for (; slot !== undefined && slot <= to; slot = slotAfterSeen(schedule, slot, calendar)) {
      found.push(slot)
      if (found.length > count) found.shift()
    }
    if (found.length === count || start === from - 1) return found
  }
}

/** A stretch of slots that share one record. `from` and `through` are the first and the last. */
export interface Passed {
  readonly from: number
  readonly through: number
  readonly outcome: "coalesced" | "skipped"
}

/** What to do next with a trigger: at most one slot to fire, after at most one stretch passed by. */
export interface Step {
  readonly passed: Passed | undefined
  readonly slot: number | undefined
  readonly next: number | undefined
}

/** Whether a trigger has gone past a slot, whatever is recorded of it. */
export const isBehind = (
  { cursor, definition: { schedule } }: {
    readonly cursor?: number | undefined
    readonly definition: Pick<TriggerDefinition, "schedule">
  },
  slot: number,
): boolean => cursor === undefined ? schedule._tag !== "Permanent" : slot < cursor

/**
 * The next step of a trigger whose first unrecorded slot is `cursor`, judged at `now`.
 *
 * Slots within the grace fire one by one, however late. Of those before it, the misfire policy
 * picks which still fire.
 */
export const step = (
  { graceMillis = usualGraceMillis, misfire, schedule }: Pick<
    TriggerDefinition,
    "graceMillis" | "misfire" | "schedule"
  >,
  cursor: number,
  now: number,
  calendar?: Calendar,
): Step => {
  const late = now - graceMillis
  if (cursor > late) {
    return { passed: undefined, slot: cursor, next: slotAfter(schedule, cursor, calendar) }
  }
  const missed = lastSlots(schedule, cursor, late, keeps(misfire) + 1, calendar)
  const slot = missed.slice(Math.max(0, missed.length - keeps(misfire)))
    .find((each) => each >= now - ageMax(misfire))
  const last = slot === undefined
    ? missed[missed.length - 1]
    : lastBefore(schedule, cursor, slot, calendar)
  return {
    passed: last === undefined
      ? undefined
      : { from: cursor, through: last, outcome: misfire._tag === "Once" ? "coalesced" : "skipped" },
    slot,
    next: slotAfter(schedule, slot ?? last ?? late, calendar),
  }
}

/** The slot right before `slot`, unless `slot` is the first from `cursor`. */
const lastBefore = (
  schedule: Schedule,
  cursor: number,
  slot: number,
  calendar: Calendar | undefined,
): number | undefined =>
  slot === cursor ? undefined : lastSlots(schedule, cursor, slot - 1, 1, calendar)[0]

const keeps = (misfire: Misfire): number => {
  switch (misfire._tag) {
    case "Skip":
      return 0
    case "Once":
      return 1
    case "All":
      return misfire.max
  }
}

const ageMax = (misfire: Misfire): number =>
  misfire._tag === "All" ? misfire.maxAgeMillis ?? Infinity : Infinity

/**
 * When the run of a slot is due: the same for everybody who asks, at most the jitter after the slot,
 * and before the `next` one.
 */
export const dueOf = (
  { name, namespace, schedule }: Pick<TriggerDefinition, "name" | "namespace" | "schedule">,
  slot: number,
  next: number | undefined,
): number => {
  const jitterMillis = jitterOf(schedule)
  if (jitterMillis === undefined) return slot
  const most = Math.min(jitterMillis, (next ?? Infinity) - slot - 1)
  return slot + hash(`${namespace}:${name}:${slot}`) % (most + 1)
}

const jitterOf = (schedule: Schedule): number | undefined =>
  isTimeless(schedule) ? undefined : schedule.jitterMillis

/** A slot with its reasons. */
export interface Fire {
  /** The nominal instant, by which the slot is known. */
  readonly slot: number
  /** When its run is due, jitter included. */
  readonly due: number
  readonly because: ReadonlyArray<Because>
  /** What would have been due since the fire before, but for a rule. At most the latest hundred. */
  readonly leftOut: ReadonlyArray<LeftOut>
}

/** Why a fire is when it is, where the schedule alone does not say so. */
export const Because = Schema.TaggedUnion({
  /** The local time is missing on that day. */
  Gap: { wanted: Schema.String, rule: Cron.Gap },
  /** The local time comes twice on that day. */
  Overlap: { which: Schema.Literals(["first", "second"]) },
  /** The free-day rule moved it here from these days; several may have met. */
  Moved: { from: Schema.Array(LocalDate) },
  /** The calendar lists dates, but none of this year: it was made before they were known. */
  Uncovered: { year: Schema.Int },
  Jitter: { millis: Schema.Int },
})
export type Because = typeof Because.Type

export const LeftOut = Schema.Struct({
  date: LocalDate,
  because: Schema.Literals(["free day", "gap"]),
})
export type LeftOut = typeof LeftOut.Type

/** All fires after `after`, lazily, in order: what the planner does, and why. */
export function* fires(
  definition: Pick<TriggerDefinition, "name" | "namespace" | "schedule">,
  calendar: Calendar | undefined,
  after: number,
): Generator<Fire> {
  const { schedule } = definition
  if (isByEvent(schedule)) return
  let last = after
  for (
    let due = dueAfter(schedule, after, calendar), next: typeof due;
    due !== undefined;
    due = next ?? dueAfter(schedule, due.slot, calendar)
  ) {
    next = jitterOf(schedule) === undefined ? undefined : dueAfter(schedule, due.slot, calendar)
    const at = dueOf(definition, due.slot, next?.slot)
    const jitter = at === due.slot ? [] : [Because.cases.Jitter.make({ millis: at - due.slot })]
    yield {
      slot: due.slot,
      due: at,
      because: schedule._tag === "Cron" && "local" in due
        ? [...reasons(schedule, calendar, due), ...jitter]
        : jitter,
      leftOut: schedule._tag === "Cron" ? Cron.leftOut(schedule, calendar, last, due.slot) : [],
    }
    last = due.slot
  }
}

const reasons = (
  rule: Cron.Rule,
  calendar: Calendar | undefined,
  { clock, local }: Cron.Due,
): ReadonlyArray<Because> => {
  const found: Array<Because> = []
  if (clock === "shifted") {
    const wanted = new Date(local).toISOString().slice(0, 19)
    found.push(Because.cases.Gap.make({ wanted, rule: Cron.gapOf(rule) }))
  } else if (clock !== "plain") found.push(Because.cases.Overlap.make({ which: clock }))
  if (calendar === undefined) return found
  const day = Math.floor(local / 86_400_000)
  const year = new Date(local).getUTCFullYear()
  const from = Cron.daysOf(rule, calendar, year).movedFrom.get(day)
  if (from !== undefined) found.push(Because.cases.Moved.make({ from: from.map(dateOf) }))
  if (!covers(calendar, day)) found.push(Because.cases.Uncovered.make({ year }))
  return found
}

const expressionMax = 256
const yearRangesMax = 4
const zoneMax = 64

/** `schedule` when it can be kept: it makes sense together, and has a slot to come. */
export const check = (
  schedule: Schedule,
  now: number,
  calendar?: Calendar,
): Result.Result<Schedule, Refused> => {
  const refuse = (field: string, reason: string, remedy: string) =>
    Result.fail(new Refused({ field, reason, remedy }))
  if (isTimeless(schedule)) return Result.succeed(schedule)
  if (schedule._tag === "At") {
    return schedule.at > now
      ? Result.succeed(schedule)
      : refuse("at", "it is over", "Name an instant that is to come, or submit a run")
  }
  const { end, start } = schedule
  if (end !== undefined && end <= (start ?? -Infinity)) {
    return refuse("end", "it is not after the start", "Name an end after the start")
  }
  if (end !== undefined && end <= now) {
    return refuse("end", "it is over", "Name an end that is to come, or none")
  }
  if (schedule._tag === "Every") return Result.succeed(schedule)
  const { expression, freeDay, zone } = schedule
  if (expression.length > expressionMax) {
    return refuse(
      "expression",
      `${expression.length} characters are more than ${expressionMax}`,
      "Split it into several triggers",
    )
  }
  if (Cron.yearRanges(expression) > yearRangesMax) {
    return refuse(
      "expression",
      `its years are more than ${yearRangesMax} ranges`,
      "Write them as one range, or split it into several triggers",
    )
  }
  if (zone.length > zoneMax || DateTime.zoneMakeNamed(zone)._tag === "None") {
    return refuse(
      "zone",
      `"${zone.slice(0, zoneMax)}" is not an IANA time zone`,
      'Use a name like "Europe/Berlin"',
    )
  }
  if (freeDay !== undefined && schedule.calendar === undefined) {
    return refuse("freeDay", "no calendar says which days are free", "Name a calendar as well")
  }
  if (schedule.calendar !== undefined && schedule.calendar !== calendar?.name) {
    return Result.fail(unknownCalendar(schedule.calendar))
  }
  try {
    if (!Cron.hasDay(expression) || slotAfter(schedule, now, calendar) === undefined) {
      return refuse(
        "expression",
        `"${expression}" has no slot to come`,
        "Name a date that exists, a year that is not over, and a day that the calendar leaves in",
      )
    }
  } catch (cause) {
    return refuse(
      "expression",
      `"${expression}" is not a cron expression: ${reasonOf(cause)}`,
      'Write five to seven fields, as in "30 7 * * MON-FRI"',
    )
  }
  return Result.succeed(schedule)
}

const reasonOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause))
    .replace(/^(CronPattern|Cron): ?/, "").slice(0, 200)

/**
 * A trigger is a rule that yields the instants, its slots, at which a task is due.
 *
 * Every slot ends in a record: it fired, was skipped for a reason, or was coalesced into another.
 * `slots` is the one place that says when they are; planner, preview and tests all read it.
 */
import { Cron } from "croner"
import { DateTime, Result, Schema } from "effect"
import { Namespace } from "./Namespace.ts"
import { Refused } from "./Refused.ts"
import { TaskName } from "./Task.ts"

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

/** Instants are milliseconds since 1970, as the storage clock tells them. */
export const Schedule = Schema.TaggedUnion({
  /** croner's dialect: five to seven fields, `L`, `W`, `#` and nicknames. */
  Cron: { expression: Schema.NonEmptyString, zone: Schema.NonEmptyString },
  /** `anchor`, `anchor` + interval, and so on; the anchor is when the trigger was stored. */
  Every: {
    millis: Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 366 * 86_400_000 })),
    anchor: Schema.optionalKey(Schema.Int),
  },
  At: { at: Schema.Int },
})
export type Schedule = typeof Schedule.Type

/** What becomes of slots that nobody fired in time. */
export const Misfire = Schema.TaggedUnion({
  Skip: {},
  /** The latest missed slot fires, the ones before it are coalesced into it. */
  Once: {},
  /** The latest `max` missed slots fire, the ones before them are skipped. */
  All: { max: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })) },
})
export type Misfire = typeof Misfire.Type

export class TriggerDefinition extends Schema.Class<TriggerDefinition>("TriggerDefinition")({
  namespace: Namespace,
  name: TriggerName,
  task: TaskName,
  schedule: Schedule,
  /** JSON text, as every run of this trigger gets it. */
  payload: Schema.String,
  misfire: Misfire,
  /** Narrows the gate of a task that blocks by key, as `Blocking.gate` says. */
  blockingKey: Schema.optionalKey(Schema.String),
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
  return new TriggerDefinition({ ...wanted, schedule: { ...schedule, anchor } })
}

/** Triggers are spread over this many partitions, the unit of ownership. */
export const partitions = 16

/** FNV-1a over UTF-8. Triggers are stored under it, so it may never change. */
export const partitionOf = (namespace: Namespace, name: TriggerName): number => {
  let sum = 0x811c9dc5
  for (const byte of new TextEncoder().encode(`${namespace}:${name}`)) {
    sum = Math.imul(sum ^ byte, 0x01000193)
  }
  return (sum >>> 0) % partitions
}

/** A slot later than this has misfired; up to it, late is just late. */
export const graceMillis = 60_000

const expressionMax = 256

/** Parsing costs as much as a hundred look-ups, so parsed expressions are kept, a bounded number. */
const parsed = new Map<string, Cron>()

const cron = (expression: string, zone: string): Cron => {
  const key = `${zone} ${expression}`
  const known = parsed.get(key)
  if (known !== undefined) return known
  // In UTC no calendar has to be asked, which costs an eighth.
  const clock = zone === "UTC" ? { utcOffset: 0 } : { timezone: zone }
  const made = new Cron(expression, { ...clock, paused: true })
  if (parsed.size >= 10_000) parsed.delete(parsed.keys().next().value!)
  parsed.set(key, made)
  return made
}

/** The first slot after `after`, or `undefined` when there is none. */
export const slotAfter = (schedule: Schedule, after: number): number | undefined => {
  switch (schedule._tag) {
    case "Cron":
      return cron(schedule.expression, schedule.zone).nextRun(new Date(after))?.getTime()
    case "Every": {
      const anchor = schedule.anchor ?? 0
      if (after < anchor) return anchor
      return anchor + (Math.floor((after - anchor) / schedule.millis) + 1) * schedule.millis
    }
    case "At":
      return schedule.at > after ? schedule.at : undefined
  }
}

/** All slots after `after`, lazily, strictly increasing. */
export function* slots(schedule: Schedule, after: number): Generator<number> {
  for (
    let slot = slotAfter(schedule, after);
    slot !== undefined;
    slot = slotAfter(schedule, slot)
  ) yield slot
}

/**
 * What `slotAfter` says, remembered for a while. A trigger that catches up step by step looks at the
 * slots before it once more with each step, and asking croner is a hundred times as dear.
 */
const slotAfterSeen = (schedule: Schedule, after: number): number | undefined => {
  if (schedule._tag !== "Cron") return slotAfter(schedule, after)
  const of = cron(schedule.expression, schedule.zone)
  let seen = slotsSeen.get(of)
  if (seen === undefined) slotsSeen.set(of, seen = new Map())
  if (seen.has(after)) return seen.get(after)
  if (++slotsSeenCount > slotsSeenMax) {
    slotsSeen.clear()
    slotsSeen.set(of, seen = new Map())
    slotsSeenCount = 1
  }
  const slot = slotAfter(schedule, after)
  seen.set(after, slot)
  return slot
}

const slotsSeen = new Map<Cron, Map<number, number | undefined>>()
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
): ReadonlyArray<number> => {
  for (let span = 60_000;; span *= 4) {
    const start = Math.max(from - 1, to - span)
    const found: Array<number> = []
    let slot = slotAfterSeen(schedule, start)
    for (; slot !== undefined && slot <= to; slot = slotAfterSeen(schedule, slot)) {
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

/**
 * The next step of a trigger whose first unrecorded slot is `cursor`, judged at `now`.
 *
 * Slots within the grace fire one by one, however late. Of those before it, the misfire policy
 * picks which still fire.
 */
export const step = (
  schedule: Schedule,
  misfire: Misfire,
  cursor: number,
  now: number,
): Step => {
  if (cursor > now - graceMillis) {
    return { passed: undefined, slot: cursor, next: slotAfter(schedule, cursor) }
  }
  const missed = lastSlots(schedule, cursor, now - graceMillis, keeps(misfire) + 1)
  const firing = missed.slice(Math.max(0, missed.length - keeps(misfire)))
  const slot = firing[0]
  const last = slot === undefined ? missed[missed.length - 1] : lastBefore(schedule, cursor, slot)
  return {
    passed: last === undefined
      ? undefined
      : { from: cursor, through: last, outcome: misfire._tag === "Once" ? "coalesced" : "skipped" },
    slot,
    next: slotAfter(schedule, slot ?? last ?? now - graceMillis),
  }
}

/** The slot right before `slot`, unless `slot` is the first from `cursor`. */
const lastBefore = (schedule: Schedule, cursor: number, slot: number): number | undefined =>
  slot === cursor ? undefined : lastSlots(schedule, cursor, slot - 1, 1)[0]

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

/** `schedule` when it can be kept: parsable, in a known zone, and with a slot to come. */
export const check = (schedule: Schedule, now: number): Result.Result<Schedule, Refused> => {
  if (schedule._tag !== "Cron") return Result.succeed(schedule)
  const { expression, zone } = schedule
  const refuse = (field: string, reason: string, remedy: string) =>
    Result.fail(new Refused({ field, reason, remedy }))
  if (expression.length > expressionMax) {
    return refuse(
      "expression",
      `${expression.length} characters are more than ${expressionMax}`,
      "Split it into several triggers",
    )
  }
  if (DateTime.zoneMakeNamed(zone)._tag === "None") {
    return refuse("zone", `"${zone}" is not an IANA time zone`, 'Use a name like "Europe/Berlin"')
  }
  try {
    if (slotAfter(schedule, now) === undefined) {
      return refuse(
        "expression",
        `"${expression}" has no slot to come`,
        "Name a date that exists, and a year that is not over",
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

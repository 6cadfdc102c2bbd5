/**
 * What changes with a trigger when its rule does: where the slots of the new rule begin, where those
 * of the old one end, and what becomes of those between that nobody has recorded.
 *
 * A version is in force for the slots from its `since` on, up to the `since` of the one after. So the
 * versions of a trigger tell, at any later time, what was due.
 */
import { Equal } from "effect"
import type { Calendar } from "./Calendar.ts"
import { lastSlots, type Schedule, slotAfter } from "./Trigger.ts"

/** A trigger as it stands; `cursor` is its first slot without a record. */
export interface Standing {
  readonly schedule: Schedule
  readonly calendar: Calendar | undefined
  readonly cursor: number | undefined
  readonly isPaused: boolean
}

/** One that is defined anew. Its version is in force from `since` on, if any is kept. */
export interface InForce extends Standing {
  readonly since: number | undefined
}

/** Slots that were due and were not fired; why is the reason of their record. */
export interface Closed {
  readonly from: number
  readonly through: number
  readonly reason: "paused" | "edited" | "removed"
}

export interface Turn {
  readonly closed: Closed | undefined
  /** From here on slots are of the new rule. */
  readonly since: number
  readonly cursor: number | undefined
}

/** The slots that are due at `now` and have no record: the first and the last of them. */
const unrecorded = (
  { calendar, cursor, schedule }: Standing,
  now: number,
): { readonly from: number; readonly through: number } | undefined => {
  if (cursor === undefined || cursor > now || schedule._tag === "Permanent") return undefined
  const [through = cursor] = lastSlots(schedule, cursor, now, 1, calendar)
  return { from: cursor, through }
}

const closed = (
  before: Standing,
  now: number,
  reason: Closed["reason"],
): Closed | undefined => {
  const slots = unrecorded(before, now)
  return slots && { ...slots, reason: before.isPaused ? "paused" : reason }
}

/** What comes after it has no record, though the storage clock may have been set back. */
const recordedUpTo = (now: number, recorded: number | undefined): number =>
  Math.max(now, recorded ?? now)

/**
 * The first slot of `schedule` after `now`, and after `recorded`, the last slot that has a record: the
 * storage clock may have been set back. What is permanent is due at once.
 */
const first = (
  schedule: Schedule,
  calendar: Calendar | undefined,
  now: number,
  recorded: number | undefined,
): number | undefined =>
  schedule._tag === "Permanent" ? now : slotAfter(schedule, recordedUpTo(now, recorded), calendar)

/**
 * `before` is defined anew. While its schedule stays, so does its cursor: what is due fires, by the
 * new definition. One that is past all its slots stays so, though by a clock that was set back some
 * would be to come: they are from before its version, whether they have a record or not.
 */
export const edited = (
  before: InForce | undefined,
  wanted: { readonly schedule: Schedule; readonly calendar: Calendar | undefined },
  now: number,
  recorded: number | undefined,
): Turn => {
  const { calendar, schedule } = wanted
  if (before !== undefined && Equal.equals(before.schedule, schedule)) {
    const { cursor, since: from = -Infinity } = before
    const since = cursor ?? Math.max(from, recordedUpTo(now, recorded) + 1)
    return { closed: undefined, since, cursor }
  }
  return {
    closed: before && closed(before, now, "edited"),
    since: recordedUpTo(now, recorded) + 1,
    cursor: first(schedule, calendar, now, recorded),
  }
}

/**
 * `before` goes on after a pause: what was due meanwhile is skipped. Its version stays, and a cursor
 * that lies ahead does too, or is past them all: by a clock that was set back there would be slots from
 * before its version.
 */
export const resumed = (
  before: Standing,
  now: number,
  recorded: number | undefined,
): Omit<Turn, "since"> => {
  const { calendar, cursor, schedule } = before
  const isDue = schedule._tag === "Permanent" || (cursor !== undefined && cursor <= now)
  return {
    closed: closed(before, now, "paused"),
    cursor: isDue ? first(schedule, calendar, now, recorded) : cursor,
  }
}

/** `before` is no more. */
export const removed = (before: Standing, now: number): Turn => ({
  closed: closed(before, now, "removed"),
  since: now + 1,
  cursor: undefined,
})

/**
 * The calendar of `before` is another now: what is due and has no record stays due, and what is to
 * come goes by the new one, but for slots up to `recorded`.
 */
export const recalled = (
  before: Standing,
  now: number,
  calendar: Calendar,
  recorded: number | undefined,
): Omit<Turn, "closed"> => {
  const { cursor = Infinity, schedule } = before
  const since = Math.min(cursor, recordedUpTo(now, recorded) + 1)
  return { since, cursor: slotAfter(schedule, since - 1, calendar) }
}

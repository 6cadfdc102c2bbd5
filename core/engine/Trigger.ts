/**
 * When a task is due, as `Task.schedule` takes it.
 *
 * ```ts
 * import { Trigger } from "belfry"
 *
 * export const nightly = Trigger.cron("0 3 * * *", { zone: "Europe/Berlin", jitter: "5 minutes" })
 * export const payday = Trigger.cron("0 9 25 * *", { calendar: "office", freeDay: "previous" })
 * export const often = Trigger.every("90 seconds")
 * export const once = Trigger.at(new Date("2031-01-01T00:00:00Z"))
 * export const always = Trigger.permanent()
 * ```
 */
import { Duration } from "effect"
import type { CalendarName, FreeDay } from "../domain/Calendar.ts"
import type { Gap, Overlap } from "../domain/Cron.ts"
import { usual } from "../domain/Permanent.ts"
import type { Misfire, Schedule } from "../domain/Trigger.ts"

interface Jitter {
  /** The run of a slot is due up to this much later, and before the next slot. */
  readonly jitter?: Duration.Input
}

interface Span extends Jitter {
  /** No slot before this instant. */
  readonly start?: Date
  /** No slot from this instant on. */
  readonly end?: Date
}

export interface CronOptions extends Span {
  /** IANA time zone; UTC unless named. */
  readonly zone?: string
  /** What becomes of a local time that is missing when the clocks go forward. */
  readonly gap?: Gap
  /** Which of both instants of a local time that comes twice when the clocks go back. */
  readonly overlap?: Overlap
  /** A calendar of the same namespace. */
  readonly calendar?: string
  /** What becomes of a slot whose day is free by the calendar: `skip` unless named. */
  readonly freeDay?: FreeDay
}

/** Five to seven fields, `L`, `W`, `#` and nicknames. */
export const cron = (expression: string, options: CronOptions = {}): Schedule => {
  const { calendar, freeDay, gap, overlap, zone = "UTC" } = options
  return {
    _tag: "Cron",
    expression,
    zone,
    ...(gap !== undefined && { gap }),
    ...(overlap !== undefined && { overlap }),
    ...(calendar !== undefined && { calendar: calendar as CalendarName }),
    ...(freeDay !== undefined && { freeDay }),
    ...spanOf(options),
  }
}

/** At this distance, counted from `start`, or from when the trigger was stored. */
export const every = (interval: Duration.Input, options: Span = {}): Schedule => ({
  _tag: "Every",
  millis: millis(interval),
  ...spanOf(options),
})

/** Once. */
export const at = (instant: Date, options: Jitter = {}): Schedule => ({
  _tag: "At",
  at: instant.getTime(),
  ...jitterOf(options),
})

/** Always one run is alive, in the whole namespace: as soon as it has ended there is another. */
export const permanent = (options: PermanentOptions = {}): Schedule => ({
  ...usual,
  ...(options.delay !== undefined && { delayMillis: millis(options.delay) }),
  ...(options.growth !== undefined && { growth: options.growth }),
  ...(options.delayMax !== undefined && { delayMaxMillis: millis(options.delayMax) }),
  ...(options.steady !== undefined && { steadyMillis: millis(options.steady) }),
})

export interface PermanentOptions {
  /** From the end of a run to the next one: a second unless named. */
  readonly delay?: Duration.Input
  /** After each run that ended soon the delay is so many times as long: twice unless named. */
  readonly growth?: number
  /** But never longer than this: five minutes unless named. */
  readonly delayMax?: Duration.Input
  /** A run that lived as long did not end soon: a minute unless named. */
  readonly steady?: Duration.Input
}

const millis = (duration: Duration.Input): number =>
  Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(duration)))

const jitterOf = ({ jitter }: Jitter) =>
  jitter === undefined ? {} : { jitterMillis: millis(jitter) }

const spanOf = ({ end, start, ...options }: Span) => ({
  ...(start !== undefined && { start: start.getTime() }),
  ...(end !== undefined && { end: end.getTime() }),
  ...jitterOf(options),
})

/** Slots that nobody fired in time are skipped. */
export const skip: Misfire = { _tag: "Skip" }

/** The latest slot that nobody fired in time still fires, for all before it. */
export const once: Misfire = { _tag: "Once" }

/** The latest `max` slots that nobody fired in time still fire, unless they are older than that. */
export const all = (max: number, maxAge?: Duration.Input): Misfire => ({
  _tag: "All",
  max,
  ...(maxAge !== undefined && { maxAgeMillis: millis(maxAge) }),
})

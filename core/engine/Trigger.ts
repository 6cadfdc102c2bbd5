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
 * export const behind = Trigger.after("books/close", { on: "success" })
 * export const always = Trigger.permanent()
 * export const orders = Trigger.tailTable("public.orders", { from: "end" })
 * ```
 */
import { Duration, Schema } from "effect"
import type { CalendarName, FreeDay } from "../domain/Calendar.ts"
import type { Condition } from "../domain/Condition.ts"
import type { Gap, Overlap } from "../domain/Cron.ts"
import * as Ends from "../domain/Ends.ts"
import * as Options from "../domain/Options.ts"
import type { Passing } from "../domain/Following.ts"
import { usual } from "../domain/Permanent.ts"
import type { Final } from "../domain/Run.ts"
import type { Unreadable } from "../domain/Tailing.ts"
import type { TaskName } from "../domain/TaskName.ts"
import type { Misfire, Schedule } from "../domain/Trigger.ts"
import type { Source } from "../services/Source.ts"

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
  Options.check("options", options, cronNames)
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
export const every = (interval: Duration.Input, options: Span = {}): Schedule => {
  Options.check("options", options, spanNames)
  return { _tag: "Every", millis: Options.millis("interval", interval), ...spanOf(options) }
}

/** Once. */
export const at = (instant: Date, options: Jitter = {}): Schedule => {
  Options.check("options", options, ["jitter"])
  return { _tag: "At", at: Options.instant("at", instant), ...jitterOf(options) }
}

export interface AfterOptions {
  /**
   * Which ends of its runs count: `success` unless named; `failure` is that it failed, timed out,
   * expired or was put into quarantine; or the states themselves.
   */
  readonly on?: Ends.Named | ReadonlyArray<Final>
  /** What the result must be: all of this. */
  readonly when?: Condition
  /**
   * What the runs get as their payload instead of the one they are scheduled with: the `result` of the
   * run that has ended, or the `event`, which tells of that run.
   */
  readonly passing?: Passing
}

type After = Extract<Schedule, { readonly _tag: "After" }>

/** Whenever a run of that task, by its name or itself, has ended so. */
export const after: {
  (
    task: string | { readonly name: TaskName },
    options: AfterOptions & { readonly passing: Passing },
  ): After & { readonly passing: Passing }
  (task: string | { readonly name: TaskName }, options?: AfterOptions): After
} = (
  task: string | { readonly name: TaskName },
  options: AfterOptions = {},
): never => {
  Options.check("options", options, ["on", "when", "passing"])
  const { on = "success", passing, when } = options
  return {
    _tag: "After",
    task: (typeof task === "string" ? task : task.name) as TaskName,
    on: Ends.resolve(on),
    ...(when !== undefined && { when }),
    ...(passing !== undefined && { passing }),
  } satisfies After as never
}

export interface TailOptions {
  /** Where it begins: at the `beginning` unless named. From then on its position counts. */
  readonly from?: "beginning" | "end"
  /** What an entry must be: all of this. */
  readonly when?: Condition
  /**
   * What becomes of an entry that cannot be read, or whose payload the task refuses: `skip`, unless
   * named, records it and goes on; `stop` takes nothing after it until it can be read.
   */
  readonly unreadable?: Unreadable
}

type TailSchedule = Extract<Schedule, { readonly _tag: "Tail" }>

const tailSchedule = (
  source: TailSchedule["source"],
  { from = "beginning", unreadable = "skip", when }: TailOptions,
): TailSchedule => ({
  _tag: "Tail",
  source,
  from,
  unreadable,
  ...(when !== undefined && { when }),
})

/** What the program reads of a source, entry by entry, each of which may make a run. */
export interface Tailing<A> {
  readonly schedule: TailSchedule
  readonly source: Source
  readonly entry: Schema.Codec<A, unknown>
}

/** Each entry of a source that this program brings. Without a schema for them, whatever they are. */
export const tail: {
  <A>(
    source: Source,
    options: TailOptions & { readonly entry: Schema.Codec<A, unknown> },
  ): Tailing<A>
  (source: Source, options?: TailOptions): Tailing<unknown>
} = (
  source: Source,
  { entry = Schema.Unknown, ...options }: TailOptions & {
    readonly entry?: Schema.Codec<unknown, unknown>
  } = {},
): never => ({ schedule: tailSchedule(source.name, options), source, entry }) as never

export interface TableOptions extends TailOptions {
  /** The column that tells its rows apart: `id` unless named. */
  readonly id?: string
  /** The column that says which transaction wrote a row: `xid` unless named. */
  readonly transaction?: string
}

/** Each row of a table in the database of the storage, which is the payload as it is. */
export const tailTable = (
  table: string,
  { id, transaction, ...options }: TableOptions = {},
): TailSchedule =>
  tailSchedule({
    table,
    ...(id !== undefined && { id }),
    ...(transaction !== undefined && { transaction }),
  }, options)

/** Always one run is alive, in the whole namespace: as soon as it has ended there is another. */
export const permanent = (options: PermanentOptions = {}): Schedule => {
  Options.check("options", options, ["delay", "growth", "delayMax", "steady"])
  return {
    ...usual,
    ...(options.delay !== undefined && { delayMillis: Options.millis("delay", options.delay) }),
    ...(options.growth !== undefined && { growth: options.growth }),
    ...(options.delayMax !== undefined &&
      { delayMaxMillis: Options.millis("delayMax", options.delayMax) }),
    ...(options.steady !== undefined && { steadyMillis: Options.millis("steady", options.steady) }),
  }
}

export interface PermanentOptions {
  /** From the end of a run to the next one: a second unless named. */
  readonly delay?: Duration.Input
  /** After each run that ended soon the delay is so many times as long: twice unless named. */
  readonly growth?: number
  /** But never longer than this: five minutes unless named, or `delay` where that is longer. */
  readonly delayMax?: Duration.Input
  /** A run that lived as long did not end soon: a minute unless named. */
  readonly steady?: Duration.Input
}

const spanNames = ["start", "end", "jitter"]
const cronNames = ["zone", "gap", "overlap", "calendar", "freeDay", ...spanNames]

const jitterOf = ({ jitter }: Jitter) =>
  jitter === undefined ? {} : { jitterMillis: Options.millis("jitter", jitter) }

const spanOf = ({ end, start, ...options }: Span) => ({
  ...(start !== undefined && { start: Options.instant("start", start) }),
  ...(end !== undefined && { end: Options.instant("end", end) }),
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
  ...(maxAge !== undefined && { maxAgeMillis: Options.millis("maxAge", maxAge) }),
})

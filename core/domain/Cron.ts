/**
 * When a cron expression is due, in three steps that know nothing of each other:
 *
 * 1. croner reads the expression as local times. It is asked in UTC, so it knows no zones.
 * 2. A calendar leaves local days out, or moves them. The time of day stays, whichever day it is.
 * 3. The zone turns local times into instants, with a rule for those that are missing or come twice.
 *
 * Each step goes forward only: instants increase strictly, whatever the rules are.
 */
import { Cron as Croner, CronPattern } from "croner"
import { Schema } from "effect"
import {
  type Calendar,
  CalendarName,
  dateOf,
  FreeDay,
  movesBy,
  settled,
  workdayFrom,
} from "./Calendar.ts"
import * as Zone from "./Zone.ts"

/**
 * What becomes of a local time that is missing, as 02:30 when the clocks go from 02:00 to 03:00.
 * `shift`: it comes later by as much as is missing, at 03:30. `next`: at the first instant that
 * exists, 03:00. `skip`: not at all.
 */
export const Gap = Schema.Literals(["shift", "next", "skip"])
export type Gap = typeof Gap.Type

/** Which of both instants of a local time that comes twice. */
export const Overlap = Schema.Literals(["first", "second", "both"])
export type Overlap = typeof Overlap.Type

export const fields = {
  /** croner's dialect: five to seven fields, `L`, `W`, `#` and nicknames. */
  expression: Schema.NonEmptyString,
  zone: Schema.NonEmptyString,
  /**
   * Unless named, an expression of fixed times shifts over a gap and takes the first of both. One
   * with a `*` or a step among its seconds, minutes and hours goes on in elapsed time: it skips
   * what is missing and takes both.
   */
  gap: Schema.optionalKey(Gap),
  overlap: Schema.optionalKey(Overlap),
  calendar: Schema.optionalKey(CalendarName),
  /** `skip` unless named. Only together with a calendar. */
  freeDay: Schema.optionalKey(FreeDay),
}

export interface Rule {
  readonly expression: string
  readonly zone: string
  readonly gap?: Gap
  readonly overlap?: Overlap
  readonly calendar?: CalendarName
  readonly freeDay?: FreeDay
}

/** A slot, and the local time that it stands for. */
export interface Due {
  readonly slot: number
  readonly local: number
  /** `shifted`: the local time is missing. `first`, `second`: it comes twice. */
  readonly clock: "plain" | "shifted" | "first" | "second"
}

const dayMillis = 86_400_000
const longWay = 2 * dayMillis
/** Where the years of an expression end. */
const last = Date.UTC(10_000, 0, 1) - 1
/** An expression that is due in gaps alone, or on free days alone, is given up after some years. */
const attempts = 40

/** The first slot after `after`. */
export const next = (
  rule: Rule,
  calendar: Calendar | undefined,
  after: number,
): Due | undefined => {
  const gap = gapOf(rule)
  const overlap = rule.overlap ?? (parse(rule.expression).isFixed ? "first" : "both")
  let from = after + 1
  for (let attempt = 0; attempt < attempts; attempt++) {
    const stretch = Zone.stretchAt(rule.zone, from)
    const { offset, to } = stretch
    const start = overlap === "first" ? Math.max(from, stretch.from + repeated(stretch)) : from
    const end = overlap === "second" ? to - repeats(stretch) : to
    const local = localAfter(rule, calendar, start + offset - 1)
    const due = local === undefined || local - offset >= end
      ? undefined
      : { slot: local - offset, local, clock: clockOf(stretch, local - offset) }
    const shifted = gap === "skip" ? undefined : lost(rule, calendar, gap, stretch, from)
    if (shifted !== undefined && shifted.slot < (due?.slot ?? Infinity)) return shifted
    if (due !== undefined) return due
    // Right before a change, times may come again that are over here; else nothing comes until then.
    if (to - from < longWay) from = to
    else if (local === undefined) return undefined
    else from = Math.max(to, local - longWay)
  }
  return undefined
}

const longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether a month has a day that is asked for; who looks for the 30th of February looks for long. */
export const hasDay = (expression: string): boolean => {
  const { pattern } = parse(expression)
  const { day, lastDayOfMonth, lastWeekday, month, nearestWeekdays } = pattern
  const isByWeekday = pattern.starDOM || !pattern.starDOW && !pattern.useAndLogic
  if (isByWeekday || lastDayOfMonth || lastWeekday) return true
  return month.some((isIn, at) =>
    isIn && day.some((_, each) => each < longest[at]! && (day[each] || nearestWeekdays[each]))
  )
}

/** How many stretches of years an expression names; each is gone through when it is read. */
export const yearRanges = (expression: string): number =>
  (expression.trim().split(/\s+/)[6] ?? "").split(",").filter((years) => /[*/-]/.test(years)).length

export const gapOf = ({ expression, gap }: Rule): Gap =>
  gap ?? (parse(expression).isFixed ? "shift" : "skip")

/** How long at its beginning a stretch shows times for the second time. */
const repeated = ({ before, offset }: Zone.Stretch): number => Math.max(0, before - offset)
/** How long at its end a stretch shows times that come again. */
const repeats = ({ after, offset }: Zone.Stretch): number => Math.max(0, offset - after)

const clockOf = (stretch: Zone.Stretch, slot: number): Due["clock"] => {
  if (slot < stretch.from + repeated(stretch)) return "second"
  return slot >= stretch.to - repeats(stretch) ? "first" : "plain"
}

/** The first time from `from` that is missing right before `stretch`, and where it goes. */
const lost = (
  rule: Rule,
  calendar: Calendar | undefined,
  gap: "shift" | "next",
  stretch: Zone.Stretch,
  from: number,
): Due | undefined => {
  const { before, from: start, offset } = stretch
  if (before >= offset || from >= start + (gap === "shift" ? offset - before : 1)) return undefined
  const local = localAfter(rule, calendar, Math.max(from, start) + before - 1)
  if (local === undefined || local >= start + offset) return undefined
  return { slot: gap === "shift" ? local - before : start, local, clock: "shifted" }
}

/** The first local time after `after`. */
const localAfter = (
  rule: Rule,
  calendar: Calendar | undefined,
  after: number,
): number | undefined => {
  if (after >= last) return undefined
  return calendar === undefined
    ? matchAfter(rule.expression, after)
    : workingTimeAfter(rule, calendar, after)
}

const matchAfter = (expression: string, after: number): number | undefined => {
  const known = parse(expression)
  const day = Math.floor((after + 1) / dayMillis)
  const later = day === known.day ? timeAfter(known.pattern, day, after) : undefined
  if (later !== undefined) return later
  const { searched } = known
  if (searched !== undefined && searched.after <= after && after < (searched.match ?? Infinity)) {
    return searched.match
  }
  const match = known.cron.nextRun(new Date(after))?.getTime()
  known.searched = { after, match }
  if (match !== undefined) known.day = Math.floor(match / dayMillis)
  return match
}

interface Parsed {
  readonly cron: Croner
  readonly pattern: CronPattern
  /** One on which it is due, the last that was found: its times need no search. */
  day: number
  /** The last search, which holds for all that lies between. Many triggers have the same expression. */
  searched: { readonly after: number; readonly match: number | undefined } | undefined
  /** No `*` and no step among seconds, minutes and hours. */
  readonly isFixed: boolean
}

/** Parsing costs as much as many look-ups, and a parsed expression takes 80 kB for its years. */
const parsed = new Map<string, Parsed>()
const parsedMax = 1000

const parse = (expression: string): Parsed => {
  const known = parsed.get(expression)
  if (known !== undefined) return known
  const cron = new Croner(expression, { utcOffset: 0, paused: true })
  const pattern = new CronPattern(expression, undefined, { fixedTimeRule: "no-wildcard" })
  // The years are in `cron` as well, and nobody asks for them here.
  pattern.year = []
  if (parsed.size >= parsedMax) parsed.delete(parsed.keys().next().value!)
  const made = { cron, pattern, day: NaN, searched: undefined, isFixed: pattern.isFixedTime }
  parsed.set(expression, made)
  return made
}

/** The first time after `after` on a day that the calendar leaves in, or moves another day to. */
const workingTimeAfter = (rule: Rule, calendar: Calendar, after: number): number | undefined => {
  const { pattern } = parse(rule.expression)
  const today = Math.floor((after + 1) / dayMillis)
  const day = dayFrom(rule, calendar, today)
  if (day === undefined) return undefined
  const first = timeAfter(pattern, day, Math.max(after, day * dayMillis - 1))
  if (first !== undefined) return first
  const later = dayFrom(rule, calendar, today + 1)
  return later === undefined ? undefined : timeAfter(pattern, later, later * dayMillis - 1)
}

/** The first time after `after` on the same `day`. */
const timeAfter = (pattern: CronPattern, day: number, after: number): number | undefined => {
  const seconds = Math.floor(after / 1000) + 1 - day * 86_400
  for (let hour = Math.floor(seconds / 3600); hour < 24; hour++) {
    if (!pattern.hour[hour]) continue
    const inHour = Math.max(0, seconds - hour * 3600)
    for (let minute = Math.floor(inHour / 60); minute < 60; minute++) {
      if (!pattern.minute[minute]) continue
      const second = pattern.second.indexOf(1, Math.max(0, inHour - minute * 60))
      if (second >= 0) return day * dayMillis + ((hour * 60 + minute) * 60 + second) * 1000
    }
  }
  return undefined
}

/** The days of a year on which an expression is due by a calendar. */
export interface Year {
  /** In order. */
  readonly days: ReadonlyArray<number>
  /** Those that came to each from elsewhere. */
  readonly movedFrom: ReadonlyMap<number, ReadonlyArray<number>>
  /** In order: those on which it would be due, and is not. */
  readonly leftOut: ReadonlyArray<number>
  /** It is due on no day that could be one of these. */
  readonly isBlank: boolean
}

const yearOf = (day: number): number => new Date(day * dayMillis).getUTCFullYear()
const firstOf = (year: number): number => Date.UTC(year, 0, 1) / dayMillis

/** The first day from `day` on which the expression is due. */
const dayFrom = (rule: Rule, calendar: Calendar, day: number): number | undefined => {
  let year = yearOf(day)
  for (let attempt = 0; attempt < attempts && year < 10_000; attempt++) {
    const { days, isBlank } = daysOf(rule, calendar, year)
    const found = days.find((each) => each >= day)
    if (found !== undefined) return found
    // What is due in this year may have moved into the next.
    if (!isBlank) year++
    else {
      const match = matchAfter(rule.expression, firstOf(year + 1) * dayMillis - 1)
      if (match === undefined) return undefined
      year = Math.max(year + 1, yearOf(match / dayMillis) - 1)
    }
  }
  return undefined
}

const years = new WeakMap<Calendar, Map<string, Year>>()
/** Of each calendar; a year takes some kilobytes, and some hundred microseconds to work out. */
const yearsMax = 2000

export const daysOf = (rule: Rule, calendar: Calendar, year: number): Year => {
  let known = years.get(calendar)
  if (known === undefined) years.set(calendar, known = new Map())
  const key = `${year} ${JSON.stringify(rule.freeDay ?? "skip")} ${rule.expression}`
  const found = known.get(key)
  if (found !== undefined) return found
  const made = workOut(rule, calendar, year)
  if (known.size >= yearsMax) known.clear()
  known.set(key, made)
  return made
}

const workOut = (rule: Rule, calendar: Calendar, year: number): Year => {
  const freeDay = rule.freeDay ?? "skip"
  const [first, end] = [firstOf(year), firstOf(year + 1)]
  const { workdays } = movesBy(freeDay)
  // Those before may move forward into the year, and those after it backward.
  const from = workdays > 0 ? workdayFrom(calendar, first, -workdays) ?? first - reach : first
  const until = workdays < 0 ? workdayFrom(calendar, end - 1, -workdays) ?? end + reach : end - 1
  const days = new Set<number>()
  const movedFrom = new Map<number, Array<number>>()
  const leftOut: Array<number> = []
  let isBlank = true
  for (let day = from;; day++) {
    const match = matchAfter(rule.expression, day * dayMillis - 1)
    if (match === undefined) break
    day = Math.floor(match / dayMillis)
    if (day > until) break
    isBlank = false
    const to = settled(calendar, freeDay, day)
    if (to === undefined && first <= day && day < end) leftOut.push(day)
    if (to === undefined || to < first || to >= end) continue
    days.add(to)
    if (to === day) continue
    const others = movedFrom.get(to)
    if (others === undefined) movedFrom.set(to, [day])
    else others.push(day)
  }
  return { days: [...days].sort((a, b) => a - b), movedFrom, leftOut, isBlank }
}

const reach = 400

const leftOutMax = 100

/** The days on which something would be due between two instants, but for a rule; the latest ones. */
export const leftOut = (
  rule: Rule,
  calendar: Calendar | undefined,
  after: number,
  until: number,
): ReadonlyArray<{ readonly date: string; readonly because: "free day" | "gap" }> => {
  const first = matchAfter(rule.expression, Zone.localAt(rule.zone, after))
  if (first === undefined) return []
  const from = Math.floor(first / dayMillis)
  const to = Math.floor(Zone.localAt(rule.zone, until) / dayMillis)
  const found: Array<readonly [day: number, because: "free day" | "gap"]> = []
  if (calendar !== undefined) {
    for (let year = yearOf(to); year >= yearOf(from) && found.length < leftOutMax; year--) {
      for (const day of daysOf(rule, calendar, year).leftOut) {
        if (from <= day && day <= to) found.push([day, "free day"])
      }
    }
  }
  // What goes on in elapsed time misses nothing where times are missing.
  if (gapOf(rule) === "skip" && parse(rule.expression).isFixed) {
    for (let at = until, hop = 0; at > after && hop < leftOutMax; hop++) {
      const { before, from: start, offset } = Zone.stretchAt(rule.zone, at)
      const local = before < offset && start > after
        ? localAfter(rule, calendar, start + before - 1)
        : undefined
      if (local !== undefined && local < start + offset) {
        found.push([Math.floor(local / dayMillis), "gap"])
      }
      at = start - 1
    }
  }
  return found.sort(([a], [b]) => a - b).slice(-leftOutMax)
    .map(([day, because]) => ({ date: dateOf(day), because }))
}

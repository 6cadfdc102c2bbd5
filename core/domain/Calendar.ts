/**
 * A calendar says which local dates are workdays: the rest days of every week, holidays, and the
 * make-up workdays that lie on rest days. It belongs to no zone; a trigger that names it has one.
 *
 * Within, a date is the number of days since 1970-01-01.
 */
import { Result, Schema } from "effect"
import { Namespace } from "./Namespace.ts"
import { Refused } from "./Refused.ts"

export const CalendarName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$/, {
    message:
      "a calendar name has 1 to 127 characters: letters, digits, '.', '_', '/' or '-', the first a letter or digit",
  }),
).pipe(Schema.brand("CalendarName"))
export type CalendarName = typeof CalendarName.Type

/** As `getUTCDay` counts them. */
const weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] as const
export const Weekday = Schema.Literals(weekdays)
export type Weekday = typeof Weekday.Type

const dayMillis = 86_400_000
const pattern = /^\d{4}-\d\d-\d\d$/

/** The day of a date that exists. */
export const dayOf = (date: string): number | undefined => {
  const millis = pattern.test(date) ? Date.parse(`${date}T00:00:00Z`) : NaN
  return Number.isNaN(millis) || dateOf(millis / dayMillis) !== date
    ? undefined
    : millis / dayMillis
}

export const dateOf = (day: number): string => new Date(day * dayMillis).toISOString().slice(0, 10)

/** As in `2031-10-01`. */
export const LocalDate = Schema.String.check(
  Schema.makeFilter((date: string) => dayOf(date) !== undefined, {
    expected: "a date that exists, as in 2031-10-01",
  }),
)

/** So many holidays, and so many make-up workdays: some thirty years of them. */
export const datesMax = 1000

const Dates = Schema.Array(LocalDate).check(Schema.isMaxLength(datesMax))

/** Sorted and without doubles, as `make` leaves them, so that equal calendars are equal data. */
export class Calendar extends Schema.Class<Calendar>("Calendar")({
  namespace: Namespace,
  name: CalendarName,
  /** The weekdays that are free unless they are make-up workdays. */
  rest: Schema.Array(Weekday).check(Schema.isMaxLength(6)),
  /** Free, whatever weekday they are. */
  holidays: Dates,
  /** Make-up workdays: not free, although they are rest days. */
  workdays: Dates,
}) {}

export interface CalendarInput {
  readonly namespace: Namespace
  readonly name: string
  /** Saturday and Sunday unless named. */
  readonly rest?: ReadonlyArray<string> | undefined
  readonly holidays?: ReadonlyArray<string> | undefined
  readonly workdays?: ReadonlyArray<string> | undefined
}

/** The calendar, when all of it makes sense together. */
export const make = (input: CalendarInput): Result.Result<Calendar, Refused> => {
  const { holidays = [], name, namespace, rest = ["SAT", "SUN"], workdays = [] } = input
  const refuse = (field: string, reason: string, remedy: string) =>
    Result.fail(new Refused({ field, reason, remedy }))

  if (!Schema.is(CalendarName)(name)) {
    return refuse(
      "name",
      `"${String(name).slice(0, 130)}" is not the name of a calendar`,
      "Use 1 to 127 letters, digits, '.', '_', '/' or '-', the first a letter or digit",
    )
  }
  const unknown = rest.find((each) => !weekdays.includes(each as Weekday))
  if (unknown !== undefined) {
    return refuse("rest", `"${unknown}" is not a weekday`, `Use ${weekdays.join(", ")}`)
  }
  if (new Set(rest).size === weekdays.length) {
    return refuse("rest", "every day of the week is free", "Leave at least one weekday to work on")
  }
  for (const [field, dates] of Object.entries({ holidays, workdays })) {
    if (dates.length > datesMax) {
      return refuse(
        field,
        `${dates.length} dates are more than ${datesMax}`,
        "Leave out the years that are over",
      )
    }
    const wrong = dates.find((date) => dayOf(date) === undefined)
    if (wrong !== undefined) {
      return refuse(
        field,
        `"${String(wrong).slice(0, 20)}" is not a date that exists`,
        "Write it as in 2031-10-01",
      )
    }
  }
  const both = workdays.find((date) => holidays.includes(date))
  if (both !== undefined) {
    return refuse("workdays", `${both} is a holiday as well`, "Name it in one of the two")
  }
  return Result.succeed(
    new Calendar({
      namespace,
      name,
      rest: weekdays.filter((each) => rest.includes(each)),
      holidays: [...new Set(holidays)].sort(),
      workdays: [...new Set(workdays)].sort(),
    }),
  )
}

export const unknown = (name: string): Refused =>
  new Refused({
    field: "calendar",
    reason: `there is no calendar "${name}" in this namespace`,
    remedy: "Put the calendar first, or name one that exists",
  })

export const inUse = (name: string, trigger: string): Refused =>
  new Refused({
    field: "calendar",
    reason: `the trigger "${trigger}" names the calendar "${name}"`,
    remedy: "Remove that trigger, or let it go without the calendar, first",
  })

const workdayCount = Schema.Int.check(
  Schema.makeFilter((count: number) => count !== 0 && Math.abs(count) <= 30, {
    expected: "1 to 30 workdays, or -1 to -30",
  }),
)

/** What becomes of a slot whose day is free. */
export const FreeDay = Schema.Union([
  /** `skip`: it is left out. `next`, `previous`: it moves to the nearest workday after or before. */
  Schema.Literals(["skip", "next", "previous"]),
  /** It moves to the second, third … workday after; before, if negative. `next` is 1. */
  Schema.Struct({ move: workdayCount }),
  /** Every slot moves by so many workdays, whether its day is free or not. */
  Schema.Struct({ shift: workdayCount }),
])
export type FreeDay = typeof FreeDay.Type

/** By how many workdays a slot moves; `always` or only from a free day. */
export const movesBy = (rule: FreeDay): { readonly workdays: number; readonly always: boolean } => {
  if (rule === "skip") return { workdays: 0, always: false }
  if (rule === "next") return { workdays: 1, always: false }
  if (rule === "previous") return { workdays: -1, always: false }
  return "move" in rule
    ? { workdays: rule.move, always: false }
    : { workdays: rule.shift, always: true }
}

/** The day that a slot of `day` comes to; `undefined` when it is left out. */
export const settled = (calendar: Calendar, rule: FreeDay, day: number): number | undefined => {
  const { always, workdays } = movesBy(rule)
  if (!always && isWorkday(calendar, day)) return day
  return workdays === 0 ? undefined : workdayFrom(calendar, day, workdays)
}

/** No workday is looked for further away than this, between two of them. */
export const reachDays = 366

/** The `count`th workday after `day`, or before it if `count` is negative. */
export const workdayFrom = (calendar: Calendar, day: number, count: number): number | undefined => {
  const step = Math.sign(count)
  let found = day
  for (let left = Math.abs(count); left > 0; left--) {
    const from = found
    do found += step
    while (!isWorkday(calendar, found) && Math.abs(found - from) < reachDays)
    if (!isWorkday(calendar, found)) return undefined
  }
  return found
}

export const isWorkday = (calendar: Calendar, day: number): boolean => {
  const { holidays, rest, workdays } = indexOf(calendar)
  if (workdays.has(day)) return true
  // 1970-01-01 was a Thursday.
  return !holidays.has(day) && !rest[(((day + 4) % 7) + 7) % 7]
}

/**
 * Whether the calendar says anything of the year of `day`. One that lists dates, but none of that
 * year, was made before they were known.
 */
export const covers = (calendar: Calendar, day: number): boolean => {
  const { years } = indexOf(calendar)
  return years.size === 0 || years.has(new Date(day * dayMillis).getUTCFullYear())
}

interface Index {
  readonly holidays: ReadonlySet<number>
  readonly workdays: ReadonlySet<number>
  readonly rest: ReadonlyArray<boolean>
  readonly years: ReadonlySet<number>
}

const indexes = new WeakMap<Calendar, Index>()

const indexOf = (calendar: Calendar): Index => {
  const known = indexes.get(calendar)
  if (known !== undefined) return known
  const { holidays, rest, workdays } = calendar
  const made: Index = {
    holidays: new Set(holidays.map((date) => dayOf(date)!)),
    workdays: new Set(workdays.map((date) => dayOf(date)!)),
    rest: weekdays.map((each) => rest.includes(each)),
    years: new Set([...holidays, ...workdays].map((date) => Number(date.slice(0, 4)))),
  }
  indexes.set(calendar, made)
  return made
}

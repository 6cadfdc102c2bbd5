/**
 * When the rules of this world are due, worked out without the product: every so many seconds of the
 * minute but on free days, every so many milliseconds from an anchor, or once.
 */
import type { Schedule } from "../../domain/Trigger.ts"

export interface Dues {
  readonly schedule: Schedule
  /** The first slot after an instant; `Infinity` when there is none. */
  readonly after: (instant: number) => number
  /** The calendar that it names. */
  readonly calendar: string | undefined
  /** Two of the same rule and anchor have the same slots. */
  readonly rule: string
  readonly anchor: number | undefined
  /** The run of a slot may be due so much later. */
  readonly jitterMillis: number
}

const dayMillis = 86_400_000
const everySeconds = /^\*\/(\d+) \* \* \* \* \*$/

type Days = (calendar: string) => ReadonlyArray<string>

/** `anchor`: of an interval that does not say it. */
export const duesOf = (schedule: Schedule, anchor: number, holidays: Days): Dues => {
  if (schedule._tag === "At") {
    const { at, jitterMillis = 0 } = schedule
    return {
      schedule,
      after: (instant) => instant < at ? at : Infinity,
      calendar: undefined,
      rule: `at ${at}, jitter ${jitterMillis}`,
      anchor: undefined,
      jitterMillis,
    }
  }
  if (schedule._tag !== "Cron" && schedule._tag !== "Every") return unknown(schedule)
  const { end = Infinity, jitterMillis = 0, start = -Infinity } = schedule
  const endless = schedule._tag === "Every"
    ? interval(schedule, schedule.anchor ?? schedule.start ?? anchor)
    : cron(schedule, holidays)
  return {
    ...endless,
    schedule,
    after: (instant) => {
      if (instant >= end) return Infinity
      const slot = endless.after(Math.max(instant, start - 1))
      return slot < end ? slot : Infinity
    },
    rule: `${endless.rule} from ${start} until ${end}, jitter ${jitterMillis}`,
    jitterMillis,
  }
}

const unknown = (schedule: Schedule) => {
  throw new Error(`nothing is known of when ${JSON.stringify(schedule)} is due`)
}

type Endless = Pick<Dues, "after" | "calendar" | "rule" | "anchor">

const interval = (
  { millis }: Extract<Schedule, { readonly _tag: "Every" }>,
  anchor: number,
): Endless => ({
  after: (instant) =>
    Math.max(anchor, anchor + (Math.floor((instant - anchor) / millis) + 1) * millis),
  calendar: undefined,
  rule: `every ${millis}`,
  anchor,
})

const cron = (schedule: Extract<Schedule, { readonly _tag: "Cron" }>, holidays: Days): Endless => {
  const { calendar, expression, zone } = schedule
  const seconds = everySeconds.exec(expression)?.[1]
  if (seconds === undefined || zone !== "UTC") return unknown(schedule)
  return {
    after: (instant) => {
      const free = calendar === undefined ? [] : holidays(calendar)
      for (let slot = Math.floor(instant / 1000) * 1000 + 1000;;) {
        if (free.includes(new Date(slot).toISOString().slice(0, 10))) {
          slot = (Math.floor(slot / dayMillis) + 1) * dayMillis
        } else if (slot / 1000 % 60 % Number(seconds) === 0) return slot
        else slot += 1000
      }
    },
    calendar,
    rule: `each ${seconds} seconds, calendar ${calendar}`,
    anchor: undefined,
  }
}

/** Those in [`from`, `to`], but for those that come after `most` of them. */
export const within = (
  dues: Dues,
  from: number,
  to: number,
  most = Infinity,
): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let slot = dues.after(from - 1); slot <= to && found.length < most;) {
    found.push(slot)
    slot = dues.after(slot)
  }
  return found
}

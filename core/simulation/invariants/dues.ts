/**
 * When the rules of this world are due, worked out without the product: every so many seconds of the
 * minute but on free days, or every so many milliseconds from an anchor.
 */
import type { Schedule } from "../../domain/Trigger.ts"

export interface Dues {
  readonly schedule: Schedule
  /** The first slot after an instant; `Infinity` when there is none. */
  readonly after: (instant: number) => number
  /** The calendar that it names. */
  readonly calendar: string | undefined
  /** Two of the same rule have the same slots. */
  readonly rule: string
  readonly anchor: number | undefined
}

const dayMillis = 86_400_000
const everySeconds = /^\*\/(\d+) \* \* \* \* \*$/

export const duesOf = (
  schedule: Schedule,
  anchor: number,
  holidays: (calendar: string) => ReadonlyArray<string>,
): Dues => {
  if (schedule._tag === "Every") {
    const { end = Infinity, millis } = schedule
    const own = schedule.anchor ?? anchor
    return {
      schedule,
      after: (instant) => {
        const slot = Math.max(own, own + (Math.floor((instant - own) / millis) + 1) * millis)
        return slot < end ? slot : Infinity
      },
      calendar: undefined,
      rule: `every ${millis} until ${end}`,
      anchor: own,
    }
  }
  const seconds = schedule._tag === "Cron" ? everySeconds.exec(schedule.expression)?.[1] : undefined
  if (seconds === undefined || schedule._tag !== "Cron" || schedule.zone !== "UTC") {
    throw new Error(`nothing is known of when ${JSON.stringify(schedule)} is due`)
  }
  const { calendar } = schedule
  return {
    schedule,
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

/** What a program of promises does with the calendars that triggers name. */
import { Effect } from "effect"
import type { CalendarInput } from "../core/domain/Calendar.ts"
import type { Namespace } from "../core/domain/Namespace.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import { type Calendars as CoreCalendars, Triggers } from "../core/engine/Triggers.ts"
import type { KeptCalendar } from "../core/services/CalendarStorage.ts"
import type { Call } from "./call.ts"

/** Which days are workdays; dates as in `2031-10-01`. */
export interface Calendar {
  readonly name: string
  readonly rest: ReadonlyArray<string>
  readonly holidays: ReadonlyArray<string>
  readonly workdays: ReadonlyArray<string>
}

export interface Calendars {
  /** Keeps a calendar of this name. It has to be there before a trigger names it. */
  readonly keep: (calendar: Omit<CalendarInput, "namespace">) => Promise<void>
  readonly show: (name: string) => Promise<Calendar>
  readonly list: () => Promise<ReadonlyArray<string>>
  /** Refused while a trigger names it. */
  readonly remove: (name: string) => Promise<void>
}

export const calendarsOver = (call: Call): Calendars => {
  const here = <A, E>(
    use: (calendars: CoreCalendars, namespace: Namespace) => Effect.Effect<A, E>,
  ) =>
    call(Effect.gen(function* () {
      const { calendars } = yield* Triggers
      return yield* use(calendars, yield* CurrentNamespace)
    }))

  return {
    keep: (calendar) =>
      here(({ put }, namespace) => Effect.asVoid(put({ ...calendar, namespace }))),
    show: (name) => here(({ find }, namespace) => Effect.map(find(namespace, name), calendarOf)),
    list: () =>
      here(({ list }, namespace) =>
        Effect.map(list(namespace), (calendars) => calendars.map(({ name }) => name))
      ),
    remove: (name) => here(({ remove }, namespace) => remove(namespace, name)),
  }
}

const calendarOf = ({ calendar: { holidays, name, rest, workdays } }: KeptCalendar): Calendar => ({
  name,
  rest,
  holidays,
  workdays,
})

/** Calendars in memory: see `CalendarStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { type Calendar, type CalendarName, inUse } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import * as Turn from "../../core/domain/Turn.ts"
import type { CalendarStorage, KeptCalendar } from "../../core/services/CalendarStorage.ts"
import { ofTriggers } from "../../core/services/Wakeups.ts"
import type { MemoryState } from "./MemoryState.ts"
import { recordedOf } from "./MemoryTriggers.ts"

export const make = (state: MemoryState, now: () => number): CalendarStorage => {
  const naming = (namespace: Namespace, name: CalendarName) =>
    [...state.triggers.values()].filter(({ view: { definition } }) =>
      definition.namespace === namespace && Trigger.calendarOf(definition.schedule) === name
    )

  const put = (calendar: Calendar): KeptCalendar => {
    const { name, namespace } = calendar
    const known = state.calendars.get(`${namespace} ${name}`)
    if (known !== undefined && Equal.equals(known.calendar, calendar)) return known
    const kept = { calendar, revision: (known?.revision ?? 0) + 1 }
    state.calendars.set(`${namespace} ${name}`, kept)
    for (const trigger of naming(namespace, name)) {
      const { cursor: before, ...view } = trigger.view
      const { schedule } = view.definition
      const standing = { schedule, calendar, cursor: before, isPaused: view.isPaused }
      const { cursor, since } = Turn.recalled(standing, now(), calendar, recordedOf(trigger))
      trigger.view = {
        ...view,
        revision: view.revision + 1,
        ...(cursor !== undefined && { cursor }),
      }
      state.turn(trigger, since, view.definition)
      state.hint(ofTriggers)
    }
    return kept
  }

  return {
    put: (calendar) => Effect.sync(() => put(calendar)),
    find: (namespace, name) =>
      Effect.sync(() => Option.fromNullishOr(state.calendars.get(`${namespace} ${name}`))),
    list: (namespace) =>
      Effect.sync(() =>
        [...state.calendars.values()]
          .filter(({ calendar }) => calendar.namespace === namespace)
          .map(({ calendar: { name }, revision }) => ({ name, revision }))
          .sort((a, b) => a.name < b.name ? -1 : 1)
      ),
    remove: (namespace, name) =>
      Effect.suspend(() => {
        const [trigger] = naming(namespace, name)
        return trigger === undefined
          ? Effect.succeed(state.calendars.delete(`${namespace} ${name}`))
          : Effect.fail(inUse(name, trigger.view.definition.name))
      }),
  }
}

/** Calendars, as they are transferred. */
import { Effect } from "effect"
import type { Of } from "../../../core/domain/StateRecord.ts"
import type { Ask, Row } from "../Pg.ts"
import { decodeCalendar, encodeCalendar } from "../rows.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface CalendarRow extends Row {
  readonly namespace: number
  readonly name: string
  readonly definition: string
  readonly revision: number
}

const selectCalendars = `
  SELECT namespace, name, definition, revision FROM calendar
  WHERE (namespace, name) > ($1::int, $2) ORDER BY namespace, name LIMIT $3`

const calendarOf = ({ definition, revision }: CalendarRow): Of<"Calendar"> => ({
  _tag: "Calendar",
  calendar: decodeCalendar(definition),
  revision,
})

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Calendar">>) {
  yield* addNamespaces(ask, all.map(({ calendar }) => calendar.namespace))
  yield* insert(
    ask,
    "calendar",
    { name: "text", revision: "int", definition: "text" },
    all.map(({ calendar, revision }) => ({
      namespace_name: calendar.namespace,
      name: calendar.name,
      revision,
      definition: encodeCalendar(calendar),
    })),
    { more: { namespace_name: "text" }, also: { namespace: "n.id" }, from: ofNamespace },
  )
})

export const calendars = sort<"Calendar", CalendarRow>({
  select: selectCalendars,
  first: ["0", ""],
  placeOf: ({ name, namespace }) => [`${namespace}`, name],
  recordsOf: each(calendarOf),
  add,
})

/** Calendars in PostgreSQL: see `CalendarStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { type Calendar, type CalendarName, inUse } from "../../core/domain/Calendar.ts"
import * as Turn from "../../core/domain/Turn.ts"
import type { CalendarStorage, KeptCalendar } from "../../core/services/CalendarStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { numbers, numbersOrNull, type Pg } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import {
  decodeCalendar,
  encodeCalendar,
  triggerColumns,
  type TriggerRow,
  triggerView,
} from "./rows.ts"

interface CalendarRow {
  readonly [column: string]: unknown
  readonly definition: string
  readonly revision: number
}

const listed = 10_000

const kept = ({ definition, revision }: CalendarRow): KeptCalendar => ({
  calendar: decodeCalendar(definition),
  revision,
})

export const make = (pg: Pg, names: PgNames, hints: PgHints): CalendarStorage => {
  const put: (calendar: Calendar) => Effect.Effect<KeptCalendar, StorageUnavailable> = Effect
    .fnUntraced(function* (calendar) {
      const { name } = calendar
      const namespace = yield* names.namespace(calendar.namespace)
      const [known] = yield* pg.query<CalendarRow>(
        "writes",
        "calendar",
        `SELECT definition, revision FROM calendar WHERE namespace = $1 AND name = $2`,
        [namespace, name],
      )
      if (known !== undefined && Equal.equals(decodeCalendar(known.definition), calendar)) {
        return kept(known)
      }
      const naming = yield* pg.query<
        TriggerRow & { readonly now: number; readonly recorded: number | null }
      >(
        "writes",
        "naming",
        `SELECT clock()::float8 AS now, ${triggerColumns},
           (SELECT through::float8 FROM slot WHERE slot.trigger = trigger.id
             ORDER BY slot.slot DESC LIMIT 1) AS recorded
         FROM trigger WHERE namespace = $1 AND calendar = $2 AND NOT is_removed`,
        [namespace, name],
      )
      const turns = naming.map((row) => {
        const { cursor, definition, isPaused } = triggerView(row)
        const standing = { schedule: definition.schedule, calendar, cursor, isPaused }
        return Turn.recalled(standing, row.now, calendar, row.recorded ?? undefined)
      })
      const [answer] = yield* pg.query<{ readonly revision: number | null }>(
        "writes",
        "put calendar",
        `SELECT put_calendar($1, $2, $3, $4, $5::int[], $6::int[], $7::bigint[], $8::bigint[],
           $9::bigint[]) AS revision`,
        [
          namespace,
          name,
          encodeCalendar(calendar),
          known?.revision ?? 0,
          numbers(naming.map(({ id }) => id)),
          numbers(naming.map(({ revision }) => revision)),
          numbersOrNull(naming.map(({ cursor }) => cursor ?? undefined)),
          numbersOrNull(turns.map(({ cursor }) => cursor)),
          numbers(turns.map(({ since }) => since)),
        ],
      )
      // It, or a trigger that names it, has changed meanwhile.
      if (answer!.revision === null) return yield* put(calendar)
      if (naming.length > 0) hints.give(["t"])
      return { calendar, revision: answer!.revision }
    })

  return {
    put,
    find: (namespace, name) =>
      Effect.map(
        pg.query<CalendarRow>(
          "writes",
          "find calendar",
          `SELECT definition, revision FROM calendar WHERE name = $2
             AND namespace = (SELECT id FROM namespace WHERE name = $1)`,
          [namespace, name],
        ),
        ([row]) => Option.map(Option.fromNullishOr(row), kept),
      ),
    list: (namespace) =>
      pg.query<{ readonly name: CalendarName; readonly revision: number }>(
        "reads",
        "list calendars",
        `SELECT name, revision FROM calendar
         WHERE namespace = (SELECT id FROM namespace WHERE name = $1)
         ORDER BY name COLLATE "C" LIMIT ${listed}`,
        [namespace],
      ),
    remove: Effect.fnUntraced(function* (namespace, name) {
      const of = yield* names.namespace(namespace)
      const [row] = yield* pg.query<{ readonly naming: string | null }>(
        "writes",
        "remove calendar",
        `SELECT remove_calendar($1, $2) AS naming`,
        [of, name],
      )
      const { naming } = row!
      if (naming !== null && naming !== "") return yield* inUse(name, naming)
      return naming === ""
    }),
  }
}

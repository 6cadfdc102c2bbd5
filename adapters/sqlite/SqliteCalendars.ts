/** Calendars in SQLite: see `CalendarStorage` for the laws. */
import { Effect, Equal, Option, Schema } from "effect"
import { Calendar, type CalendarName, inUse } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import * as Turn from "../../core/domain/Turn.ts"
import type { CalendarStorage, KeptCalendar } from "../../core/services/CalendarStorage.ts"
import { ofTriggers } from "../../core/services/Wakeups.ts"
import type { Database, Transaction } from "./Database.ts"
import { keepVersion, recordedOf } from "./TriggerVersions.ts"

const Json = Schema.fromJsonString(Calendar)
const encode = Schema.encodeSync(Json)
const decode = Schema.decodeSync(Json)
const decodeTrigger = Schema.decodeSync(Schema.fromJsonString(Trigger.TriggerDefinition))

interface CalendarRow {
  readonly definition: string
  readonly revision: number
}

interface NamingRow {
  readonly id: number
  readonly name: Trigger.TriggerName
  readonly definition: string
  readonly cursor: number | null
  readonly is_paused: number
}

const select = "SELECT definition, revision FROM calendar WHERE namespace = ? AND name = ?"
const selectNaming = `SELECT id, name, definition, cursor, is_paused FROM trigger
  WHERE namespace = ? AND calendar = ? AND is_removed = 0 ORDER BY name`
const listed = 10_000

const kept = ({ definition, revision }: CalendarRow): KeptCalendar => ({
  calendar: decode(definition),
  revision,
})

/** Within a transaction, or a read. */
export const look = (
  db: Database,
  namespace: Namespace,
  name: CalendarName | undefined,
): { readonly calendar: Calendar; readonly text: string } | undefined => {
  if (name === undefined) return undefined
  const row = db.get<CalendarRow>(select, namespace, name)
  return row && { calendar: decode(row.definition), text: row.definition }
}

export const make = (db: Database): CalendarStorage => ({
  put: (calendar) => db.write("put calendar", (tx) => put(tx, calendar)),
  find: (namespace, name) =>
    Effect.map(
      db.read("find calendar", () => db.get<CalendarRow>(select, namespace, name)),
      (row) => Option.map(Option.fromNullishOr(row), kept),
    ),
  list: (namespace) =>
    db.read(
      "list calendars",
      () =>
        db.all<{ readonly name: CalendarName; readonly revision: number }>(
          `SELECT name, revision FROM calendar WHERE namespace = ? ORDER BY name LIMIT ${listed}`,
          namespace,
        ).map(({ name, revision }) => ({ name, revision })),
    ),
  remove: (namespace, name) =>
    Effect.flatMap(
      db.write("remove calendar", () => {
        const naming = db.get<NamingRow>(`${selectNaming} LIMIT 1`, namespace, name)
        if (naming !== undefined) return inUse(name, naming.name)
        return db.run("DELETE FROM calendar WHERE namespace = ? AND name = ?", namespace, name)
          .changes === 1
      }),
      (answer) => typeof answer === "boolean" ? Effect.succeed(answer) : Effect.fail(answer),
    ),
})

const put = (tx: Transaction, calendar: Calendar): KeptCalendar => {
  const { db, now } = tx
  const { name, namespace } = calendar
  const known = db.get<CalendarRow>(select, namespace, name)
  if (known !== undefined && Equal.equals(decode(known.definition), calendar)) return kept(known)
  const row = db.get<CalendarRow>(
    `INSERT INTO calendar VALUES (?, ?, ?, 1) ON CONFLICT (namespace, name)
     DO UPDATE SET definition = excluded.definition, revision = revision + 1
     RETURNING definition, revision`,
    namespace,
    name,
    encode(calendar),
  )!
  for (const naming of db.all<NamingRow>(selectNaming, namespace, name)) {
    const { schedule } = decodeTrigger(naming.definition)
    const { cursor, since } = Turn.recalled(
      {
        schedule,
        calendar,
        cursor: naming.cursor ?? undefined,
        isPaused: naming.is_paused === 1,
      },
      now,
      calendar,
      recordedOf(db, naming.id),
    )
    const { revision } = db.get<{ readonly revision: number }>(
      "UPDATE trigger SET revision = revision + 1, cursor = ? WHERE id = ? RETURNING revision",
      cursor ?? null,
      naming.id,
    )!
    keepVersion(tx, naming.id, revision, since, naming.definition, row.definition)
    tx.hint(ofTriggers)
  }
  return kept(row)
}

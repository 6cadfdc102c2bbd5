/** The versions of triggers in SQLite: what was due, for whoever asks later. */
import { Schema } from "effect"
import { Calendar } from "../../core/domain/Calendar.ts"
import { TriggerDefinition } from "../../core/domain/Trigger.ts"
import { type TriggerVersion, versionsMax } from "../../core/services/TriggerStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Transaction } from "./Database.ts"

const decode = Schema.decodeSync(Schema.fromJsonString(TriggerDefinition))
const decodeCalendar = Schema.decodeSync(Schema.fromJsonString(Calendar))

interface VersionRow {
  readonly revision: number
  readonly since: number
  readonly definition: string | null
  readonly calendar: string | null
}

/** The last slot of a trigger that has a record. */
export const recordedOf = (db: Connection, trigger: number): number | undefined =>
  db.get<{ readonly through: number }>(
    "SELECT through FROM slot WHERE trigger = ? ORDER BY slot DESC LIMIT 1",
    trigger,
  )?.through

/** From here on the version in force is. */
export const sinceOf = (db: Connection, trigger: number): number | undefined =>
  db.get<{ readonly since: number }>(
    "SELECT since FROM trigger_version WHERE trigger = ? ORDER BY revision DESC LIMIT 1",
    trigger,
  )?.since

/** Keeps a version; without a definition the trigger is removed. Of those before, the first go. */
export const keepVersion = (
  { db }: Transaction,
  trigger: number,
  revision: number,
  since: number,
  definition: string | null,
  calendar: string | null,
): void => {
  db.run(
    "INSERT INTO trigger_version VALUES (?, ?, ?, ?, ?)",
    trigger,
    revision,
    since,
    definition,
    calendar,
  )
  db.run(
    "DELETE FROM trigger_version WHERE trigger = ? AND revision <= ?",
    trigger,
    revision - versionsMax,
  )
}

/** The latest first. */
export const versionsOf = (
  at: Connection,
  trigger: number,
  limit: number,
): ReadonlyArray<TriggerVersion & { readonly calendar: Calendar | undefined }> =>
  at.all<VersionRow>(
    `SELECT revision, since, definition, calendar FROM trigger_version
     WHERE trigger = ? ORDER BY revision DESC LIMIT ?`,
    trigger,
    limit,
  ).map(({ calendar, definition, revision, since }) => ({
    revision,
    since,
    ...(definition !== null && { definition: decode(definition) }),
    calendar: calendar === null ? undefined : decodeCalendar(calendar),
  }))

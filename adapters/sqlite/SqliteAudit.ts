/** What the audit of slots reads and keeps, in SQLite: see `AuditStorage` for the laws. */
import { Schema } from "effect"
import { Calendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { FindingKind } from "../../core/domain/SlotAudit.ts"
import * as StoredSchedule from "../../core/domain/StoredSchedule.ts"
import type { TriggerId, TriggerName } from "../../core/domain/Trigger.ts"
import {
  type Audited,
  type AuditPlace,
  type AuditStorage,
  findingsMax,
  recordsMax,
} from "../../core/services/AuditStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Database, Transaction } from "./Database.ts"
import { used } from "./SqliteHistory.ts"

interface PlaceRow {
  readonly step: number
  readonly since: number
  readonly until: number | null
  readonly after: TriggerId
}

interface AuditedRow {
  readonly id: TriggerId
  readonly namespace: Namespace
  readonly name: TriggerName
  readonly cursor: number | null
  readonly is_paused: number
  readonly is_removed: number
  readonly since: number | null
}

interface RecordRow {
  readonly slot: number
  readonly through: number
  readonly reason: string | null
}

const placeOf = ({ after, since, step, until }: PlaceRow): AuditPlace => ({
  step,
  from: since,
  until: until ?? undefined,
  after,
})

interface VersionRow {
  readonly since: number
  readonly schedule: string | null
  readonly calendar: string | null
}

const decodeCalendar = Schema.decodeSync(Schema.fromJsonString(Calendar))

const selectVersions = `
  SELECT since, definition ->> '$.schedule' AS schedule, calendar FROM trigger_version
  WHERE trigger = ? ORDER BY revision`

const selectTriggers = `
  SELECT id, namespace, name, cursor, is_paused, is_removed, audit_open.since
  FROM trigger LEFT JOIN audit_open ON audit_open.trigger = trigger.id
  WHERE id > ? ORDER BY id LIMIT ?`

/** From the last record that begins before the window: only it can reach into it. */
const selectRecords = `
  SELECT slot, through, reason FROM slot
  WHERE trigger = ?1 AND slot <= ?3 AND slot >= coalesce((
    SELECT slot FROM slot WHERE trigger = ?1 AND slot < ?2 ORDER BY slot DESC LIMIT 1), ?2)
    AND through >= ?2
  ORDER BY slot LIMIT ${recordsMax + 1}`

const audited = (at: Connection, row: AuditedRow, from: number, until: number): Audited => {
  const begin = row.since ?? from
  const records = at.all<RecordRow>(selectRecords, row.id, begin, until)
  return {
    trigger: row.id,
    namespace: row.namespace,
    name: row.name,
    from: begin,
    until: records.length > recordsMax ? records[recordsMax - 1]!.through : until,
    account: {
      versions: at.all<VersionRow>(selectVersions, row.id).map(({ calendar, schedule, since }) => ({
        since,
        schedule: schedule === null ? undefined : StoredSchedule.read(schedule),
        calendar: calendar === null ? undefined : decodeCalendar(calendar),
      })),
      records: records.slice(0, recordsMax).map(({ reason, slot, through }) => ({
        slot,
        through,
        isGathered: reason === used,
      })),
      cursor: row.is_removed === 1 ? undefined : row.cursor ?? undefined,
      isPaused: row.is_paused === 1,
    },
  }
}

export const make = (db: Database): AuditStorage => ({
  place: db.write("audit", (tx) => {
    const row = tx.db.get<PlaceRow>("SELECT * FROM audit")
    if (row !== undefined) return { now: tx.now, place: placeOf(row) }
    tx.db.run("INSERT INTO audit VALUES (0, ?, NULL, 0)", tx.now)
    return {
      now: tx.now,
      place: { step: 0, from: tx.now, until: undefined, after: 0 as TriggerId },
    }
  }),
  page: ({ after, from, until }, limit) =>
    db.readInTurns("audit", function* (at) {
      const rows = at.all<AuditedRow>(selectTriggers, after, limit)
      const triggers: Array<Audited> = []
      for (const row of rows) {
        triggers.push(audited(at, row, from, until))
        yield
      }
      return { triggers, last: rows.length === limit ? rows.at(-1)!.id : undefined }
    }),
  keep: ({ after, from, step, until }, { findings, looked, open }) =>
    db.write("audit", (tx) => {
      const { changes } = tx.db.run(
        "UPDATE audit SET step = ?, since = ?, until = ?, after = ? WHERE step = ?",
        step,
        from,
        until ?? null,
        after,
        step - 1,
      )
      if (changes === 0) return false
      tx.db.run(
        "DELETE FROM audit_open WHERE trigger IN (SELECT value FROM json_each(?))",
        JSON.stringify(looked),
      )
      for (const each of open) {
        tx.db.run("INSERT INTO audit_open VALUES (?, ?)", each.trigger, each.from)
      }
      for (const { kind, slot, through, trigger } of findings) {
        found(tx, trigger, kind, slot, through)
      }
      return true
    }),
  findings: (namespace, limit) =>
    db.read("findings", () =>
      db.all<{
        readonly name: TriggerName
        readonly kind: FindingKind
        readonly slot: number
        readonly through: number
        readonly found_at: number
      }>(
        `SELECT name, kind, slot, through, found_at
         FROM audit_finding JOIN trigger ON trigger.id = audit_finding.trigger
         WHERE namespace = ? ORDER BY audit_finding.id DESC LIMIT ?`,
        namespace,
        limit,
      ).map(({ found_at, ...finding }) => ({ ...finding, foundAt: found_at }))),
})

const found = (
  { db, now }: Transaction,
  trigger: TriggerId,
  kind: FindingKind,
  slot: number,
  through: number,
): void => {
  const { changes } = db.run(
    `INSERT INTO audit_finding (trigger, kind, slot, through, found_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT DO NOTHING`,
    trigger,
    kind,
    slot,
    through,
    now,
  )
  if (changes === 0) return
  db.run(
    `DELETE FROM audit_finding
     WHERE id <= (SELECT max(id) FROM audit_finding) - ${findingsMax}`,
  )
}

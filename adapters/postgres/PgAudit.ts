/** What the audit of slots reads and keeps, in PostgreSQL: see `AuditStorage` for the laws. */
import { Effect } from "effect"
import * as StoredSchedule from "../../core/domain/StoredSchedule.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { FindingKind } from "../../core/domain/SlotAudit.ts"
import type { TriggerId, TriggerName } from "../../core/domain/Trigger.ts"
import {
  type Audited,
  type AuditStorage,
  findingsMax,
  recordsMax,
} from "../../core/services/AuditStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import { decodeCalendar, used } from "./rows.ts"

interface PlaceRow {
  readonly [column: string]: unknown
  readonly now: number
  readonly step: number
  readonly since: number
  readonly until: number | null
  readonly after: TriggerId
}

interface VersionRow {
  readonly since: number
  readonly schedule: string | null
  readonly calendar: string | null
}

interface AuditedRow {
  readonly [column: string]: unknown
  readonly id: TriggerId
  readonly namespace: Namespace
  readonly name: TriggerName
  readonly cursor: number | null
  readonly is_paused: boolean
  readonly begin: number
  readonly versions: ReadonlyArray<VersionRow>
  /** Slot, through, and whether others made it up: three numbers each. */
  readonly records: ReadonlyArray<number>
}

const audited = (row: AuditedRow, until: number): Audited => {
  const records = Array.from({ length: row.records.length / 3 }, (_, at) => ({
    slot: row.records[3 * at]!,
    through: row.records[3 * at + 1]!,
    isGathered: row.records[3 * at + 2] === 1,
  }))
  return {
    trigger: row.id,
    namespace: row.namespace,
    name: row.name,
    from: row.begin,
    until: records.length > recordsMax ? records[recordsMax - 1]!.through : until,
    account: {
      versions: row.versions.map(({ calendar, schedule, since }) => ({
        since,
        schedule: schedule === null ? undefined : StoredSchedule.read(schedule),
        calendar: calendar === null ? undefined : decodeCalendar(calendar),
      })),
      records: records.slice(0, recordsMax),
      cursor: row.cursor ?? undefined,
      isPaused: row.is_paused,
    },
  }
}

export const make = (pg: Pg): AuditStorage => ({
  place: Effect.map(
    pg.query<PlaceRow>(
      "writes",
      "audit",
      `SELECT clock()::float8 AS now, step::float8 AS step, since::float8 AS since,
         until::float8 AS until, after FROM audit`,
    ),
    ([row]) => {
      const { after, now, since, step, until } = row!
      return { now, place: { step, from: since, until: until ?? undefined, after } }
    },
  ),
  page: ({ after, from, until }, limit) =>
    Effect.map(
      pg.query<AuditedRow>("reads", "audit", selectPage, [after, limit, `${from}`, `${until}`]),
      (rows) => ({
        triggers: rows.map((row) => audited(row, until)),
        last: rows.length === limit ? rows.at(-1)!.id : undefined,
      }),
    ),
  keep: ({ after, from, step, until }, { findings, looked, open }) =>
    Effect.map(
      pg.query("writes", "audit", keepStep, [
        `${step}`,
        `${from}`,
        until === undefined ? null : `${until}`,
        after,
        numbers(looked),
        numbers(open.map(({ trigger }) => trigger)),
        numbers(open.map((each) => each.from)),
        numbers(findings.map(({ trigger }) => trigger)),
        texts(findings.map(({ kind }) => kind)),
        numbers(findings.map(({ slot }) => slot)),
        numbers(findings.map(({ through }) => through)),
      ]),
      (rows) => rows.length > 0,
    ),
  findings: (namespace, limit) =>
    Effect.map(
      pg.query<{
        readonly name: TriggerName
        readonly kind: FindingKind
        readonly slot: number
        readonly through: number
        readonly found_at: number
      }>(
        "reads",
        "findings",
        `SELECT t.name, f.kind, f.slot::float8 AS slot, f.through::float8 AS through,
           f.found_at::float8 AS found_at
         FROM audit_finding f JOIN trigger t ON t.id = f.trigger
         WHERE t.namespace = (SELECT id FROM namespace WHERE name = $1)
         ORDER BY f.id DESC LIMIT $2`,
        [namespace, limit],
      ),
      (rows) =>
        rows.map(({ found_at, kind, name, slot, through }) => ({
          name,
          kind,
          slot,
          through,
          foundAt: found_at,
        })),
    ),
})

/**
 * `$1` after this trigger, `$2` limit, `$3` and `$4` the window. Only the last record that begins
 * before the window can reach into it.
 */
const selectPage = `
  SELECT t.id, n.name AS namespace, t.name, t.cursor::float8 AS cursor, t.is_paused,
    begin::float8 AS begin,
    (SELECT coalesce(json_agg(json_build_object('since', v.since,
      'schedule', v.definition::json ->> 'schedule', 'calendar', v.calendar) ORDER BY v.revision), '[]')
     FROM trigger_version v WHERE v.trigger = t.id) AS versions,
    (SELECT coalesce(json_agg(part ORDER BY s.slot, nth), '[]') FROM (
       SELECT slot, through, (reason IS NOT DISTINCT FROM '${used}')::int AS is_gathered FROM slot
       WHERE trigger = t.id AND slot.slot <= $4::bigint AND through >= begin
         AND slot.slot >= coalesce((SELECT b.slot FROM slot b
           WHERE b.trigger = t.id AND b.slot < begin ORDER BY b.slot DESC LIMIT 1), begin)
       ORDER BY slot.slot LIMIT ${recordsMax + 1}) s
     CROSS JOIN LATERAL unnest(ARRAY[slot, through, is_gathered]) WITH ORDINALITY AS p(part, nth))
     AS records
  FROM (SELECT g.*, coalesce(o.since, $3::bigint) AS begin FROM trigger g
    LEFT JOIN audit_open o ON o.trigger = g.id
    WHERE g.id > $1 ORDER BY g.id LIMIT $2) t
  JOIN namespace n ON n.id = t.namespace
  ORDER BY t.id`

const keepStep = `
  WITH kept AS (
    UPDATE audit SET step = $1::bigint, since = $2::bigint, until = $3::bigint, after = $4::int
    WHERE step = $1::bigint - 1 RETURNING step),
  closed AS (
    DELETE FROM audit_open WHERE EXISTS (SELECT FROM kept) AND trigger = ANY ($5::int[])
      AND trigger <> ALL ($6::int[])),
  opened AS (
    INSERT INTO audit_open (trigger, since)
    SELECT u.trigger, u.since FROM kept, unnest($6::int[], $7::bigint[]) AS u(trigger, since)
    ON CONFLICT (trigger) DO UPDATE SET since = excluded.since),
  found AS (
    INSERT INTO audit_finding (trigger, kind, slot, through, found_at)
    SELECT u.trigger, u.kind, u.slot, u.through, clock()
    FROM kept, unnest($8::int[], $9::text[], $10::bigint[], $11::bigint[])
      AS u(trigger, kind, slot, through)
    ON CONFLICT ON CONSTRAINT found_once DO NOTHING RETURNING id),
  forgotten AS (
    DELETE FROM audit_finding WHERE id <= (SELECT max(id) FROM found) - ${findingsMax})
  SELECT step FROM kept`

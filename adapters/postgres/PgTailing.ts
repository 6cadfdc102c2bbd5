/** Triggers that tail a source, in PostgreSQL: see `TriggerStorage` for the laws. */
import { Effect } from "effect"
import type { RunId } from "../../core/domain/RunId.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import type { TriggerId } from "../../core/domain/Trigger.ts"
import type { SlotRecord, Tailed, TriggerStorage } from "../../core/services/TriggerStorage.ts"
import { numbers, type Pg, type Row, texts } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import type { Look, PgLooks } from "./PgLooks.ts"
import type { PgNames } from "./PgNames.ts"
import { patience, triggerColumns, type TriggerRow, triggerView } from "./rows.ts"
import { columns, delays, isPlain } from "./specs.ts"

/** Of a statement on `tail`. */
export const tailColumns = `position, fired::float8 AS fired, passed::float8 AS passed,
  skipped::float8 AS skipped, moved_at::float8 AS moved_at, up_to::float8 AS up_to, failure,
  failing_since::float8 AS failing_since`

interface TakenRow extends Row {
  readonly verdict: 0 | 3 | 4
  readonly item: number | null
  readonly run: RunId | null
}

export const tail = (pg: Pg, names: PgNames, hints: PgHints): TriggerStorage["tail"] =>
  Effect.fnUntraced(function* (item) {
    const { endedMillisAgo, entries, failure, from, passed, revision, to, trigger } = item
    const specs = entries.map(({ fire }) => typeof fire === "string" ? undefined : fire)
    const { deadlines, lanes, plain, special } = yield* columns(names, specs)
    const rows = yield* pg.query<TakenRow>("writes", "tail", takeEntries, [
      trigger,
      revision,
      from ?? null,
      to ?? null,
      passed,
      endedMillisAgo === undefined ? null : `${Math.ceil(endedMillisAgo)}`,
      failure ?? null,
      Tailing.recordsMax,
      texts(entries.map(({ position }) => position)),
      texts(entries.map(({ fire }) => typeof fire === "string" ? fire : undefined)),
      ...plain,
      ...special,
      deadlines,
    ])
    hints.give(
      new Set(
        rows.flatMap(({ item }) =>
          item !== null && isPlain(specs[item]!) ? [`l${lanes[item]!}` as const] : []
        ),
      ),
    )
    hints.giveDue(delays(specs))
    return answer(rows)
  })

const answer = (rows: ReadonlyArray<TakenRow>): Tailed => {
  switch (rows[0]!.verdict) {
    case 0:
      return { _tag: "Taken", runs: rows.flatMap(({ run }) => run === null ? [] : [run]) }
    case 3:
      return { _tag: "Behind" }
    case 4:
      return { _tag: "Stale" }
  }
}

const takeEntries = `
  SELECT verdict, item, run::float8 AS run FROM take_entries($1::int, $2::int, $3::text, $4::text,
    $5::int, $6::bigint, $7::text, $8::int, $9::text[], $10::text[], $11::int[], $12::int[],
    $13::smallint[], $14::text[], $15::boolean[], $16::smallint[], $17::bigint[], $18::text[],
    $19::int[], $20::boolean[], '${patience}'::bigint[], $21::bigint[])`

const anyTail: Look = {
  name: "tails",
  columns: () => "EXISTS (SELECT FROM tail) AS has_tails",
  params: () => [],
}

/** Those of partitions are looked for again and again, and mostly there is none. */
export const tails = (pg: Pg, looks: PgLooks): TriggerStorage["tails"] => (of) =>
  "partitions" in of
    ? Effect.flatMap(
      looks<{ has_tails: boolean }>(anyTail),
      ({ has_tails }) => has_tails ? allTails(pg)(of) : Effect.succeed([]),
    )
    : allTails(pg)(of)

const allTails = (pg: Pg): TriggerStorage["tails"] => (of) => {
  const [where, params] = "partitions" in of
    ? ["partition = ANY ($1::smallint[])", [numbers(of.partitions)]]
    : [
      "namespace = (SELECT id FROM namespace WHERE name = $1) AND ($2::text IS NULL OR name = $2)",
      [of.namespace, of.name ?? null],
    ]
  return Effect.map(
    pg.query<TriggerRow & Tailing.Row>(
      "reads",
      "tails",
      `SELECT ${triggerColumns}, ${tailColumns} FROM tail JOIN trigger ON id = tail.trigger
       WHERE NOT is_removed AND ${where} ORDER BY name COLLATE "C"`,
      params,
    ),
    (rows) =>
      rows.map((row) => ({ view: triggerView(row), tail: Tailing.ofRow(row) }))
        .filter(({ view }) => view.definition.schedule._tag === "Tail"),
  )
}

interface RecordRow extends Row {
  readonly run: RunId | null
  readonly at: number
  readonly position: string
  readonly reason: string | null
}

/** The latest first. */
export const records = (pg: Pg, trigger: TriggerId, limit: number) =>
  Effect.map(
    pg.query<RecordRow>(
      "reads",
      "records",
      `SELECT run_id::float8 AS run, at::float8 AS at, position, reason FROM tailed
       WHERE trigger = $1 ORDER BY nth DESC LIMIT $2`,
      [trigger, limit],
    ),
    (rows) => rows.map(told),
  )

const told = ({ at, position, reason, run }: RecordRow): SlotRecord => ({
  slot: at,
  through: at,
  entry: position,
  latenessMillis: 0,
  ...(run === null ? { outcome: "skipped", reason: reason! } : { outcome: "fired", run }),
})

/** Of the entry that the run was made for, among the bounded ones of its trigger: no index needed. */
export const recordOf = (pg: Pg, run: RunId) =>
  Effect.map(
    pg.query<RecordRow & { readonly revision: number | null }>(
      "reads",
      "records",
      `SELECT t.run_id::float8 AS run, t.at::float8 AS at, t.position, t.reason, (
           SELECT max(v.revision) FROM trigger_version v
           WHERE v.trigger = t.trigger AND v.since - 1 <= t.at) AS revision
       FROM run r JOIN tailed t ON t.trigger = r.trigger AND t.run_id = r.id
       WHERE r.id = $1::bigint`,
      [`${run}`],
    ),
    ([row]): SlotRecord | undefined =>
      row && { ...told(row), ...(row.revision !== null && { revision: row.revision }) },
  )

/** Triggers that follow a task, in PostgreSQL: see `TriggerStorage` for the laws. */
import { Effect } from "effect"
import * as Ends from "../../core/domain/Ends.ts"
import { depthMax, tooDeep, untaken, whilePaused } from "../../core/domain/Following.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TriggerDefinition, TriggerId } from "../../core/domain/Trigger.ts"
import type { Followed, SlotRecord, TriggerStorage } from "../../core/services/TriggerStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { numbers, numbersOrNull, type Pg, type Row, texts } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import { patience, stateOf } from "./rows.ts"
import { columns, delays, isReady } from "./specs.ts"

/**
 * The columns that a put returns besides, which subscribe its trigger or end that, or let it tail a
 * source.
 */
export interface Attaching {
  readonly columns: string
  readonly params: ReadonlyArray<unknown>
}

const attachingNothing: Attaching = { columns: "", params: [] }

/** `first` is the number of its first parameter, `before` the definition that is replaced. */
export const attaching = Effect.fnUntraced(function* (
  names: PgNames,
  { namespace, schedule }: TriggerDefinition,
  before: TriggerDefinition | undefined,
  first: number,
): Effect.fn.Return<Attaching, StorageUnavailable> {
  if (schedule._tag === "After") {
    const [task] = yield* names.taskNumbers([{ namespace, task: schedule.task }])
    return {
      columns: `, subscribe(namespace, '${Outbox.triggers}', name, partition, $${first}::int,
        $${first + 1}::int, id) AS is_attached`,
      params: [task, Ends.bitsOf(schedule.on)],
    }
  }
  const isDetached = before?.schedule._tag === "After"
  if (schedule._tag === "Tail") {
    return {
      columns: `, attach_tail(id, $${first}::text) AS is_attached${
        isDetached ? `, ${detaching}` : ""
      }`,
      params: [Tailing.keyOf(schedule)],
    }
  }
  return isDetached ? { columns: `, ${detaching}`, params: [] } : attachingNothing
})

/** As a column of a statement on `trigger`. */
export const detaching = `unsubscribe(namespace, '${Outbox.triggers}', name) AS was_attached`

interface FollowedRow extends Row {
  readonly item: number
  readonly verdict: 0 | 3 | 4
  readonly run: RunId | null
  readonly why: string | null
}

export const follow = (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
): TriggerStorage["follow"] =>
  Effect.fnUntraced(function* (items) {
    if (items.length === 0) return []
    const specs = items.map(({ fire }) => typeof fire === "string" ? undefined : fire)
    const { lanes, plain, special } = yield* columns(names, specs)
    const isInTime = specs.some((spec) => spec?.deadlineMillis !== undefined)
    const rows = yield* pg.query<FollowedRow>(
      "writes",
      "follow",
      isInTime ? followAllInTime : followAll,
      [
        numbers(items.map(({ event }) => event)),
        numbers(items.map(({ trigger }) => trigger)),
        numbers(items.map(({ revision }) => revision)),
        texts(items.map(({ fire }) => typeof fire === "string" ? fire : undefined)),
        whilePaused,
        tooDeep,
        depthMax,
        ...plain,
        ...special,
        ...(isInTime ? [numbersOrNull(specs.map((spec) => spec?.deadlineMillis))] : []),
      ],
    )
    hints.give(
      new Set(rows.flatMap(({ item, run }) =>
        run !== null && isReady(specs[item]!) ? [`l${lanes[item]!}` as const] : []
      )),
    )
    hints.giveDue(delays(specs))
    const byItem = new Map(rows.map((row) => [row.item, row]))
    return items.map((_, at) =>
      answer(byItem.get(at)!)
    )
  })

const answer = ({ run, verdict, why }: FollowedRow): Followed =>
  verdict === 4
    ? { _tag: "Stale" }
    : verdict === 3
    ? { _tag: "Already" }
    : run !== null
    ? { _tag: "Fired", run }
    : { _tag: "Skipped", reason: why! }

const followText = (by: string, more: string) => `
  SELECT item, verdict, run::float8 AS run, why FROM ${by}($1::bigint[], $2::int[], $3::int[],
    $4::text[], $5, $6, $7::int, $8::int[], $9::int[], $10::smallint[], $11::text[], $12::boolean[],
    $13::smallint[], $14::bigint[], $15::text[], $16::int[], $17::boolean[], '${patience}'::bigint[]${more})`

const followAll = followText("follow", "")

const followAllInTime = followText("follow_in_time", ", $18::bigint[]")

interface RecordRow extends Row {
  readonly at: number
  readonly recorded_at: number
  readonly run: RunId | null
  readonly after: RunId
  readonly state: number
  readonly reason: string | null
}

/** The latest first. */
export const records = (pg: Pg, trigger: TriggerId, limit: number) =>
  Effect.map(
    pg.query<RecordRow>(
      "reads",
      "records",
      `SELECT at::float8 AS at, recorded_at::float8 AS recorded_at, run_id::float8 AS run,
         after::float8 AS after, state, reason
       FROM followed WHERE trigger = $1 ORDER BY event DESC LIMIT $2`,
      [trigger, limit],
    ),
    (rows) => rows.map(told),
  )

const told = ({ after, at, reason, recorded_at, run, state }: RecordRow): SlotRecord => ({
  slot: at,
  through: at,
  outcome: run === null ? "skipped" : "fired",
  ...(run !== null && { run }),
  ...(reason !== null && { reason }),
  after: { run: after, state: stateOf(state) },
  latenessMillis: Math.max(0, recorded_at - at),
})

/** Of the event that the run was made for. */
export const recordOf = (pg: Pg, run: RunId) =>
  Effect.map(
    pg.query<RecordRow & { readonly revision: number | null }>(
      "reads",
      "records",
      `SELECT at::float8 AS at, recorded_at::float8 AS recorded_at, run_id::float8 AS run,
         after::float8 AS after, state, reason, (
           SELECT max(v.revision) FROM trigger_version v
           WHERE v.trigger = f.trigger AND v.since - 1 <= f.recorded_at) AS revision
       FROM followed f WHERE run_id = $1::bigint`,
      [`${run}`],
    ),
    ([row]): SlotRecord | undefined =>
      row && { ...told(row), ...(row.revision !== null && { revision: row.revision }) },
  )

/** Of the runs of `gone`, as parts of a statement that has `now` too: what nobody has taken. */
export const missing = `
  untaken AS (
    DELETE FROM outbox WHERE run_id = ANY (ARRAY(SELECT run_id FROM gone)) RETURNING *),
  missed AS (
    UPDATE subscription s SET missed = missed + u.count
    FROM (SELECT subscription, count(*) AS count FROM untaken GROUP BY subscription) u
    WHERE s.id = u.subscription),
  unfired AS (
    INSERT INTO followed (trigger, event, after, state, depth, at, recorded_at, reason)
    SELECT s.trigger, u.id, u.run_id, u.state, 0, u.at, ms, '${untaken}'
    FROM untaken u JOIN subscription s ON s.id = u.subscription CROSS JOIN now
    WHERE s.trigger IS NOT NULL)`

/** When the earliest record of the trigger `of` was written. */
export const earliestRecord = (of: string) =>
  `SELECT recorded_at FROM followed WHERE trigger = ${of} ORDER BY event LIMIT 1`

/** `$1` trigger, `$2` their age, `$3` limit: its earliest records. */
export const retireRecords = (window: number) => `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  seen AS MATERIALIZED (
    SELECT event, recorded_at > ms - $2::bigint AS is_young
    FROM now, (SELECT * FROM followed WHERE trigger = $1 ORDER BY event
      LIMIT least($3, ${window})) f),
  gone AS (
    DELETE FROM followed WHERE trigger = $1 AND event = ANY (ARRAY(
      SELECT event FROM seen
      WHERE NOT EXISTS (SELECT FROM seen y WHERE y.is_young AND y.event <= seen.event)))
    RETURNING event)
  SELECT count(*)::int AS count FROM gone`

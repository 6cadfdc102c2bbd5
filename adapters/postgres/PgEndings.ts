/** What executors leave to be said of their runs, in PostgreSQL: E9 and R41. */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Ending, Report, RunStorage } from "../../core/services/RunStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import type { PgClock } from "./PgClock.ts"
import type { Look, PgLooks } from "./PgLooks.ts"

/** As arrays of runs, fences, milliseconds and reports. */
export const columnsOf = (endings: ReadonlyArray<Ending>) => [
  numbers(endings.map(({ report }) => report.run)),
  numbers(endings.map(({ report }) => report.fence)),
  numbers(endings.map(({ inMillis }) => inMillis)),
  texts(endings.map(({ report }) => JSON.stringify(report))),
]

/** Rows of what `columnsOf` gives, from the parameter of this number on. */
const rows = (first: number) =>
  `unnest($${first}::bigint[], $${first + 1}::int[], $${first + 2}::bigint[], $${first + 3}::text[])
    AS k(run_id, fence, in_millis, report)`

/** What says the same as before, within a tenth of a second, is not written again. */
const insert = (from: string) => `
  INSERT INTO ending (incarnation, run_id, fence, at, report) ${from}
  ON CONFLICT ON CONSTRAINT one_ending DO UPDATE
    SET fence = excluded.fence, at = excluded.at, report = excluded.report
    WHERE ending.fence <> excluded.fence OR abs(ending.at - excluded.at) > 100`

/** Parts of a statement that takes all that `$1` has left before away, if `said` has a row. */
export const replace = (first: number) => `
  void AS (
    DELETE FROM ending WHERE incarnation = $1 AND run_id <> ALL ($${first}::bigint[])
      AND EXISTS (SELECT FROM said)),
  kept AS (${insert(`SELECT $1, run_id, fence, ms + in_millis, report FROM said, ${rows(first)}`)})`

/** A part of a statement that keeps what is left with the marks of starts, which are in `x`. */
export const keep = (first: number) => `
  kept AS (${
  insert(`SELECT $1, k.run_id, k.fence, steady_clock() + in_millis, report FROM ${rows(first)}
    WHERE EXISTS (SELECT FROM x
      WHERE x.run_id = k.run_id AND x.fence = k.fence AND NOT x.is_start_marked)`)
})`

interface LateRow {
  readonly [column: string]: unknown
  readonly incarnation: Incarnation | null
  readonly run: RunId
  readonly report: string
  readonly is_held: boolean
}

export const make = (
  pg: Pg,
  looks: PgLooks,
  clock: PgClock,
  settle: RunStorage["settle"],
): Pick<RunStorage, "endOverdue"> => ({
  endOverdue: Effect.fnUntraced(function* (limit) {
    // Mostly there is none.
    const { ends_in } = yield* looks<{ ends_in: number | null }>(nextEnding)
    const nextInMillis = ends_in === null ? undefined : Math.max(0, ends_in)
    if (nextInMillis !== 0) return { reports: [], freed: [], nextInMillis }
    const late = (yield* clock.expecting((expectation) =>
      Effect.map(
        pg.query<LateRow>("claims", "endOverdue", selectLate, [limit, ...expectation]),
        (rows) => rows.some(({ incarnation }) => incarnation === null) ? undefined : rows,
      )
    )) ?? []
    const reports: Array<Report> = []
    const freed = new Set<GateKey>()
    const held = late.filter(({ is_held }) => is_held)
    for (const [incarnation, rows] of Map.groupBy(held, ({ incarnation }) => incarnation!)) {
      const said = rows.map(({ report }) => JSON.parse(report) as Report)
      const { freed: some, settled } = yield* settle(incarnation, said)
      reports.push(...said.filter((_, nth) => settled[nth] === "applied"))
      for (const gate of some) freed.add(gate)
    }
    // Said twice it is said once: so it is forgotten last.
    if (late.length > 0) {
      yield* pg.query("writes", "endOverdue", forget, [
        numbers(late.map(({ incarnation }) => incarnation!)),
        numbers(late.map(({ run }) => run)),
      ])
    }
    return { reports, freed: [...freed], nextInMillis: late.length > 0 ? 0 : undefined }
  }),
})

const nextEnding: Look = {
  name: "endings",
  columns: () =>
    "((SELECT at FROM ending ORDER BY at LIMIT 1) - steady_clock())::float8 AS ends_in",
  params: () => [],
}

/**
 * Whether its holder has each still, and has not concluded how it ends. Scalar queries, since of `EXISTS` a plan
 * may make one look at all that is held.
 */
export const selectLate = `
  WITH now AS MATERIALIZED (
    SELECT ms, abs(ms - $2::bigint) <= $3::bigint AS is_expected
    FROM (SELECT steady_clock() AS ms OFFSET 0) clock),
  late AS MATERIALIZED (
    SELECT * FROM ending WHERE at <= (SELECT ms FROM now WHERE is_expected) ORDER BY at LIMIT $1)
  SELECT incarnation, run_id::float8 AS run, report,
    (SELECT l.fence FROM lease l WHERE l.incarnation = late.incarnation
      AND l.run_id = late.run_id LIMIT 1) IS NOT DISTINCT FROM late.fence
    AND (SELECT c.fence FROM conclusion c
      WHERE c.run_id = late.run_id AND c.phase <> 2 LIMIT 1) IS NULL AS is_held
  FROM late
  UNION ALL SELECT NULL, 0, '', false FROM now WHERE NOT is_expected`

const forget = `
  DELETE FROM ending e USING unnest($1::int[], $2::bigint[]) AS k(incarnation, run_id)
  WHERE e.incarnation = k.incarnation AND e.run_id = k.run_id AND e.at <= steady_clock()`

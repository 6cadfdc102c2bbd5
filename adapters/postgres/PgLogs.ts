/** What runs say, in PostgreSQL: see `LogStorage` for the laws. */
import { DateTime, Effect, Option, Schema } from "effect"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import { linesAfter, SaidLine } from "../../core/domain/LogLine.ts"
import { Progress } from "../../core/domain/Progress.ts"
import { charsMax, charsOf, type LogStorage, type Told } from "../../core/services/LogStorage.ts"
import { numbers, numbersOrNull, type Pg, texts } from "./Pg.ts"
import { partsByRun } from "./parts.ts"

const Lines = Schema.fromJsonString(Schema.Array(SaidLine))
const encodeLines = Schema.encodeSync(Lines)
const decodeLines = Schema.decodeSync(Lines)
const Json = Schema.fromJsonString(Progress)
const encodeProgress = Schema.encodeSync(Json)
const decodeProgress = Schema.decodeSync(Json)

/** A page is made of at most so many rows. */
const rowsMax = 100

export const make = (pg: Pg): LogStorage => ({
  append: (incarnation, told) =>
    Effect.forEach(
      partsByRun(told),
      (part) => pg.query("writes", "append", append, paramsOf(incarnation, part)),
      { discard: true },
    ),

  read: ({ after, limit, run }) =>
    Effect.map(
      pg.query<LogRow>("reads", "read log", selectLines, [
        `${run}`,
        after?.fence ?? 0,
        after?.number ?? 0,
      ]),
      (rows) => ({
        lines: linesAfter(partsOf(rows), after, limit),
        isCut: rows[0]!.is_cut,
      }),
    ),

  progress: (run) =>
    Effect.map(
      pg.query<ProgressRow>(
        "reads",
        "progress",
        "SELECT at::float8 AS at, fence, sequence, value FROM progress WHERE run_id = $1",
        [`${run}`],
      ),
      ([row]) =>
        Option.map(Option.fromUndefinedOr(row), ({ at, fence, sequence, value }) => ({
          ...decodeProgress(value),
          fence,
          sequence,
          at: DateTime.makeUnsafe(at),
        })),
    ),
})

const paramsOf = (incarnation: Incarnation, told: ReadonlyArray<Told>) => [
  incarnation,
  numbers(told.map(({ run }) => run)),
  numbers(told.map(({ fence }) => fence)),
  numbers(told.map(({ first }) => first)),
  numbers(told.map(({ lines }) => lines.length)),
  numbers(told.map(charsOf)),
  texts(told.map(({ lines }) => lines.length === 0 ? undefined : encodeLines(lines))),
  numbersOrNull(told.map(({ progress }) => progress?.sequence)),
  texts(told.map(({ progress }) => {
    if (progress === undefined) return undefined
    const { sequence: _, ...value } = progress
    return encodeProgress(value)
  })),
]

/** The fence of a run that its teller does not hold: wherever it stands, if it is known at all. */
const fenceNow = `greatest(
  (SELECT fence FROM lease
    WHERE incarnation = ANY ((SELECT holding())::int[]) AND run_id = u.run_id),
  (SELECT fence FROM outcome WHERE run_id = u.run_id),
  (SELECT fence FROM scheduled WHERE run_id = u.run_id),
  (SELECT fence FROM blocked WHERE run_id = u.run_id),
  (SELECT fence FROM parked WHERE run_id = u.run_id),
  (SELECT fence FROM ready WHERE run_id = u.run_id AND (fence > 0 OR gate IS NOT NULL)))`

/** Runs in order, so that two at once do not wait for each other. */
const append = `
  WITH u AS MATERIALIZED (
    SELECT * FROM unnest($2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[], $7::text[],
      $8::int[], $9::text[]) AS u(run_id, fence, first, count, chars, lines, sequence, progress)),
  held AS MATERIALIZED (
    SELECT u.*, EXISTS (SELECT FROM lease l WHERE l.run_id = u.run_id AND l.fence = u.fence
      AND l.incarnation = $1) AS is_held
    FROM u),
  known AS MATERIALIZED (
    SELECT u.*, clock() AS ms FROM held u
    WHERE is_held OR CASE WHEN NOT is_held THEN coalesce(u.fence <= ${fenceNow}, false) END),
  p AS (
    INSERT INTO progress (run_id, at, fence, sequence, value)
    SELECT run_id, ms, fence, sequence, progress FROM known
    WHERE is_held AND progress IS NOT NULL ORDER BY run_id
    ON CONFLICT ON CONSTRAINT one_progress DO UPDATE SET at = excluded.at, fence = excluded.fence,
      sequence = excluded.sequence, value = excluded.value
    WHERE (excluded.fence, excluded.sequence) > (progress.fence, progress.sequence)),
  said AS MATERIALIZED (
    SELECT k.*, l.fence AS last_fence, l.first AS last_first, coalesce(l.chars, 0) AS before
    FROM known k LEFT JOIN LATERAL (
      SELECT fence, first, chars FROM log WHERE run_id = k.run_id
      ORDER BY fence DESC, first DESC LIMIT 1) l ON true
    WHERE lines IS NOT NULL),
  c AS (
    UPDATE log SET is_cut = true FROM said s
    WHERE s.before > 0 AND s.before + s.chars > ${charsMax}
      AND log.run_id = s.run_id AND log.fence = s.last_fence AND log.first = s.last_first)
  INSERT INTO log (run_id, at, fence, first, last, chars, lines)
  SELECT run_id, ms, fence, first, first + count - 1, before + chars, lines FROM said
  WHERE before = 0 OR before + chars <= ${charsMax} ORDER BY run_id
  ON CONFLICT ON CONSTRAINT lines_come_once DO NOTHING`

/** One row at least, which says whether the log is cut. */
const selectLines = `
  SELECT c.is_cut, l.*
  FROM (SELECT EXISTS (SELECT FROM log WHERE run_id = $1::bigint AND is_cut) AS is_cut) c
  LEFT JOIN LATERAL (
    SELECT fence, first, at::float8 AS at, lines FROM log
    WHERE run_id = $1::bigint AND fence >= $2 AND (fence, last) > ($2, $3)
    ORDER BY fence, first LIMIT ${rowsMax}) l ON true
  ORDER BY l.fence, l.first`

const partsOf = function* (rows: ReadonlyArray<LogRow>) {
  for (const { at, fence, first, lines } of rows) {
    if (lines !== null) yield { fence, first, at, lines: decodeLines(lines) }
  }
}

interface ProgressRow {
  readonly [column: string]: unknown
  readonly fence: Fence
  readonly sequence: number
  readonly at: number
  readonly value: string
}

interface LogRow {
  readonly [column: string]: unknown
  readonly fence: Fence
  readonly first: number
  readonly at: number
  /** Absent when the page has none. */
  readonly lines: string | null
  readonly is_cut: boolean
}

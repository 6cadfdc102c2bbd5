/**
 * The one statement that settles the reports of the last round, all of them successes, and claims the
 * next.
 *
 * It is written so that each of its accesses has one sensible plan, an index scan, and runs on
 * connections that allow no other (`Pg.pinned`): ids come as `= ANY (array)`, rows go by `ctid`;
 * nothing is joined with an array, nor with `run`.
 *
 * Which runs are next is found without locks, by merging the heads of the lanes' levels in the order
 * of `Lane.order`; a merge reads as many rows as it returns, whatever the number of lanes. It only
 * tells how many to take from each level of each lane, so where one alone has any, nothing is merged.
 * Then that many are locked there, skipping what others have locked, so claims at the same time take
 * the next ones rather than none.
 *
 * Most runs have one of the better levels (`Lane.deepFrom`), and every level costs a branch of each
 * lane. So there are two texts: one that knows these levels alone, and does nothing where a run of
 * another waits; then the claim is made by the other text, which knows all.
 *
 * What is granted comes as rows of `run`, since of most runs these tell all (`PgGrants`). The row whose
 * run is -1 tells of the statement itself.
 */
import * as Lane from "../../core/domain/Lane.ts"
import type { ClaimRequest, Report } from "../../core/services/RunStorage.ts"
import { numbers } from "./Pg.ts"
import type { GrantRow } from "./PgGrants.ts"
import { results, tell } from "./PgSettle.ts"

/** What the statement tells of itself, in the columns of a row whose run is -1. */
export const headerOf = (row: GrantRow) => ({
  standing: row.level as number,
  applied: row.task,
  now: row.due,
  /** Events of the outbox. */
  told: row.slot ?? 0,
  /** Gates of which a place was given back. */
  freed: row.payload as string | null,
  /** Ids, unless all reports were applied. */
  appliedIds: row.idempotency_key,
  numbers: row.numbers,
})

/** The parameters of the statement that `claimStatement` gives for as many lanes, and such floors. */
export const claimParams = (
  { incarnation, limit, loop, round }: Pick<
    ClaimRequest,
    "incarnation" | "limit" | "loop" | "round"
  >,
  reports: ReadonlyArray<Report>,
  lanes: ReadonlyArray<number>,
  floors: ReadonlyArray<number> | undefined,
): ReadonlyArray<unknown> => {
  const sorted = reports.toSorted((a, b) => a.run - b.run)
  return [
    incarnation,
    loop,
    round,
    lanes.length === 0 ? 0 : limit,
    numbers(sorted.map(({ run }) => run)),
    numbers(sorted.map(({ fence }) => fence)),
    results(sorted),
    ...(lanes.length > mergedMax ? [numbers(lanes)] : padded(lanes)),
    ...(floors === undefined ? [] : [numbers(floors)]),
  ]
}

/** Statements exist for few numbers of lanes, and lane 0 is always empty. */
const padded = (lanes: ReadonlyArray<number>): ReadonlyArray<number> => [
  ...lanes,
  ...Array.from({ length: roundUp(lanes.length) - lanes.length }, () => 0),
]

/** Beyond, heads are read lane by lane and sorted, which reads more rows but is planned in no time. */
const mergedMax = 64

const roundUp = (count: number): number => {
  let size = 1
  while (size < count) size *= 2
  return size
}

const statements = new Map<string, string>()

/** For tests that look at its plan, or stop within it. The floors are its last parameter. */
export const claimStatement = (
  lanes: number,
  hasFloors = false,
  isWatched = false,
  isDeep = false,
): string => {
  const size = lanes > mergedMax ? Infinity : roundUp(lanes)
  const key = `${size} ${hasFloors} ${isWatched} ${isDeep}`
  const known = statements.get(key)
  if (known !== undefined) return known
  // Where dead rows stand, a look for runs of other levels would walk over them.
  const levels = isDeep || hasFloors ? Lane.levels : shallow
  const floors = hasFloors ? `$${size === Infinity ? 9 : 8 + size}::bigint[]` : undefined
  const made = size === Infinity
    ? claimText("$8::int[]", sortedHeads(levels, floors), levels, floors, isWatched)
    : claimText(
      `ARRAY[${Array.from({ length: size }, (_, nth) => laneParam(nth)).join(", ")}]`,
      mergedHeads(size, levels, floors),
      levels,
      floors,
      isWatched,
    )
  statements.set(key, made)
  return made
}

/** What the guard says instead of a standing when the statement has its other text for this executor. */
export const otherText = 4

/** And this, when a run of a level waits that the text does not know. */
export const deepText = 5

const shallow = Lane.levels.filter((level) => level < Lane.deepFrom)

/** The rows of a lane's level that a claim looks at, told by the number of both. */
const fromFloor = (floors: string | undefined, pair: string | number): string =>
  floors === undefined ? "" : ` AND rank >= (${floors})[${pair} + 1]`

const laneParam = (nth: number) => `$${nth + 8}::int`
const pairOf = `(u.nth - 1) * ${Lane.levels.length} + v.level`
const nowOfGuard = "(SELECT ms FROM guard)"

/**
 * The level and lane, as one number, of each of the first runs: those overdue by rank, then level by
 * level. Each branch is in the order of its index, so the merges read no more than they return. Runs
 * of the first level are overdue as soon as they are ready; should the clock have been set back, the
 * others still come in the right place, after those overdue and before those of the next level.
 */
const mergedHeads = (
  lanes: number,
  levels: ReadonlyArray<Lane.Level>,
  floors: string | undefined,
): string => {
  const [first, ...others] = levels
  const heads = (level: Lane.Level, condition: string) =>
    Array.from(
      { length: lanes },
      (_, nth) => {
        const pair = nth * Lane.levels.length + level
        return `(SELECT ${pair} AS pair, rank, run_id FROM ready
          WHERE lane = ${laneParam(nth)} AND level = ${level}::smallint ${condition}${
          fromFloor(floors, pair)
        }
          ORDER BY rank, run_id)`
      },
    )
  const merged = (branches: ReadonlyArray<string>) =>
    `(SELECT pair FROM (${branches.join(" UNION ALL ")}) heads ORDER BY rank, run_id LIMIT $4)`
  return [
    merged([
      ...heads(first!, ""),
      ...others.flatMap((level) => heads(level, "AND rank <= now.ms")),
    ]),
    ...others.map((level) => merged(heads(level, "AND rank > now.ms"))),
  ].join(" UNION ALL ")
}

const sortedHeads = (levels: ReadonlyArray<Lane.Level>, floors: string | undefined) => `
  SELECT pair FROM (
    SELECT (${pairOf})::int AS pair, v.level, h.rank, h.run_id
    FROM unnest($8::int[]) WITH ORDINALITY AS u(lane, nth)
    CROSS JOIN unnest('{${levels.join(",")}}'::smallint[]) AS v(level)
    CROSS JOIN LATERAL (SELECT rank, run_id FROM ready WHERE lane = u.lane AND level = v.level${
  fromFloor(floors, pairOf)
}
      ORDER BY rank, run_id LIMIT $4) h) heads
  ORDER BY rank > now.ms, CASE WHEN rank > now.ms THEN level END, rank, run_id`

/** `$1` incarnation, `$2` loop, `$3` round, `$4` limit, `$5` to `$7` reports, lanes, floors. */
const claimText = (
  laneArray: string,
  heads: string,
  levels: ReadonlyArray<Lane.Level>,
  floors: string | undefined,
  isWatched: boolean,
): string => `
  WITH guard AS MATERIALIZED (
    SELECT clock() AS ms, CASE WHEN beat_at + ttl <= clock() THEN 3
      WHEN ${isWatched ? "NOT " : ""}is_watched THEN ${otherText}${
  levels.length === Lane.levels.length ? "" : `
      WHEN EXISTS (SELECT FROM unnest(${laneArray}) AS u(lane) CROSS JOIN LATERAL (
        SELECT FROM ready WHERE lane = u.lane AND level >= ${Lane.deepFrom}::smallint LIMIT 1) h)
        THEN ${deepText}`
} ELSE standing END AS standing
    FROM executor WHERE incarnation = $1),
  x AS (
    DELETE FROM lease
    WHERE incarnation = $1 AND run_id = ANY ($5::bigint[])
      AND fence = ($6::int[])[width_bucket(run_id, $5::bigint[])]
      AND (SELECT standing FROM guard) < 2
    RETURNING run_id, claimed_at, fence, attempt, crashes, gate),
  f AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported, result)
    SELECT run_id, ${nowOfGuard}, claimed_at, $1, fence, 0, attempt, crashes, true,
      ($7::text[])[width_bucket(run_id, $5::bigint[])] FROM x),${
  isWatched
    ? `
  told AS (${tell("x", nowOfGuard, "0", "NULL")}
    RETURNING id),`
    : ""
}
  -- The heads that have any run: the one, if they are one.
  sole AS MATERIALIZED (
    SELECT CASE WHEN count(*) = 1 THEN min(pair) END AS pair FROM (
      SELECT (${pairOf})::int AS pair
      FROM unnest(${laneArray}) WITH ORDINALITY AS u(lane, nth)
      CROSS JOIN unnest('{${levels.join(",")}}'::smallint[]) AS v(level)
      CROSS JOIN LATERAL (
        SELECT FROM ready WHERE lane = u.lane AND level = v.level${fromFloor(floors, pairOf)}
        LIMIT 1) h) heads),
  -- The clock comes in from outside, rather than by a scan of guard in each branch.
  top AS MATERIALIZED (
    SELECT head.pair FROM guard now CROSS JOIN LATERAL (
      SELECT pair FROM (${heads}) ordered
      LIMIT CASE WHEN now.standing = 0 AND (SELECT pair FROM sole) IS NULL THEN $4 ELSE 0 END) head),
  d AS (
    DELETE FROM ready WHERE ctid = ANY (ARRAY(
      SELECT c.ctid FROM (
        SELECT pair, count(*) AS quota FROM top GROUP BY pair
        UNION ALL
        SELECT sole.pair, $4 FROM sole, guard WHERE sole.pair IS NOT NULL AND standing = 0) p
      CROSS JOIN LATERAL (
        SELECT r.ctid FROM ready r
        WHERE r.lane = (${laneArray})[p.pair / ${Lane.levels.length} + 1]
          AND r.level = (p.pair % ${Lane.levels.length})::smallint${fromFloor(floors, "p.pair")}
        ORDER BY r.rank, r.run_id LIMIT p.quota FOR UPDATE SKIP LOCKED) c))
    RETURNING run_id, rank, lane, level, attempt, crashes, fence, is_careful, gate),
  l AS (
    INSERT INTO lease (run_id, claimed_at, lane, incarnation, round, fence, loop, level, attempt,
      crashes, is_careful, is_start_marked, is_cancelling, gate)
    SELECT run_id, ${nowOfGuard}, lane, $1, $3::int, fence + 1, $2::smallint, level, attempt + 1, crashes,
      is_careful, false, false, gate FROM d)
  SELECT id::float8 AS run, level::int AS level, task, due_at::float8 AS due, slot::float8 AS slot,
    payload, idempotency_key, NULL AS numbers
  FROM run WHERE id = ANY (ARRAY(SELECT run_id FROM d))
  UNION ALL
  SELECT -1, standing, (SELECT count(*)::int FROM x), ms::float8,
    ${isWatched ? "(SELECT count(*)::float8 FROM told)" : "NULL"},
    CASE WHEN EXISTS (SELECT FROM x WHERE gate IS NOT NULL) THEN (
      SELECT json_agg(gate)::text FROM run
      WHERE id = ANY (ARRAY(SELECT run_id FROM x WHERE gate IS NOT NULL))) END,
    CASE WHEN (SELECT count(*) FROM x) < cardinality($5::bigint[])
      THEN (SELECT string_agg(run_id::text, ',') FROM x) END,
    (SELECT string_agg(CASE WHEN fence = 0 AND NOT is_careful THEN run_id || ',' || rank
      ELSE concat_ws(',', run_id, rank, fence + 1, attempt + 1, crashes, is_careful::int, level) END, ';')
      FROM d WHERE fence > 0 OR is_careful OR gate IS NOT NULL)
  FROM guard`

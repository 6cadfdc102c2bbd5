/** Placements in PostgreSQL: see `PlacementStorage` for the laws. */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import { prefix } from "../../core/domain/FanIn.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import {
  type Load,
  type Move,
  nothing,
  type Remembered,
  type Unplaced,
} from "../../core/domain/Placing.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { PlacementStorage } from "../../core/services/PlacementStorage.ts"
import type { Pg } from "./Pg.ts"
import type { PgFloors } from "./PgFloors.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import { encodeFailure } from "./rows.ts"

/** The lanes of an executor that has been gone for as long are not asked for again. */
const longGoneMillis = 600_000

interface UnplacedRow {
  readonly run: RunId
  readonly fence: Fence
  readonly gate: GateKey
  readonly bound_to: Incarnation | null
  readonly nth: number | null
  readonly count: number | null
}

interface LoadRow {
  readonly incarnation: Incarnation
  readonly lane: Lane.Lane
  readonly runs: number
}

export const make = (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
  floors: PgFloors,
): PlacementStorage => ({
  displace: (limit) =>
    Effect.map(
      pg.query<{ displaced: number; lanes: ReadonlyArray<Lane.Lane> }>(
        "writes",
        "displace",
        "SELECT displaced, lanes FROM displace($1, $2::bigint)",
        [limit, `${longGoneMillis}`],
      ),
      ([row]) => row!,
    ),

  waiting: Effect.fnUntraced(function* (lane, limit) {
    const { namespace } = Lane.taskOf(lane)
    const [row] = yield* pg.query<{
      revision: number
      remembered: string | null
      runs: string | null
      loads: string | null
    }>("writes", "waiting", selectWaiting, [
      yield* names.laneNumber(lane),
      yield* names.namespace(namespace),
      limit,
      namespace,
    ])
    const { loads, remembered, revision, runs } = row!
    return {
      revision,
      remembered: remembered === null ? nothing : JSON.parse(remembered) as Remembered,
      runs: runs === null ? [] : (JSON.parse(runs) as ReadonlyArray<UnplacedRow>).map(unplacedOf),
      loads: loads === null ? [] : (JSON.parse(loads) as ReadonlyArray<LoadRow>).map(loadOf),
    }
  }),

  place: Effect.fnUntraced(function* ({ lane, moves, remembered, revision }) {
    const lanes = yield* names.laneNumbers(
      moves.map((move) => move._tag === "To" ? move.lane : lane),
    )
    const [row] = yield* pg.query<{ gates: ReadonlyArray<GateKey> | null }>(
      "writes",
      "place",
      "SELECT place($1, $2, $3::bigint, $4, $5::jsonb, $6) AS gates",
      [
        yield* names.laneNumber(lane),
        yield* names.namespace(Lane.taskOf(lane).namespace),
        `${revision}`,
        JSON.stringify(remembered),
        JSON.stringify(moves.map((move, at) => told(move, lanes[at]!))),
        prefix,
      ],
    )
    const { gates } = row!
    if (gates === null) return { _tag: "Stale" }
    // They are as old as when they became ready.
    floors.landed(lanes)
    hints.give(
      new Set(
        moves.flatMap(({ _tag }, at) => _tag === "To" ? [`l${lanes[at]!}` as const] : []),
      ),
    )
    return { _tag: "Applied", gates: [...new Set(gates)] }
  }),
})

const unplacedOf = ({ bound_to, count, fence, gate, nth, run }: UnplacedRow): Unplaced => ({
  run,
  fence,
  gate,
  ...(bound_to !== null && { boundTo: bound_to }),
  ...(nth !== null && { shard: { index: nth, count: count! } }),
})

const loadOf = ({ incarnation, lane, runs }: LoadRow): Load => ({
  incarnation,
  task: Lane.taskOf(lane).task,
  runs,
})

/** A move as the function takes it. */
const told = (move: Move, lane: number) => {
  const { _tag, fence, run } = move
  switch (_tag) {
    case "To": {
      const { placed } = move
      if (placed === undefined) return { _tag, run, fence, lane }
      const { incarnation, name, strategy } = placed
      const detail = `with ${name} (${incarnation}), by ${strategy}`
      return { _tag, run, fence, lane, placement: JSON.stringify(placed), detail }
    }
    case "Spread":
      return { _tag, run, fence, parts: move.parts, detail: `in ${move.parts.length} parts` }
    case "Fail":
      return { _tag, run, fence, failure: encodeFailure(move.failure) }
  }
}

/**
 * `$1` lane, `$2` number and `$4` name of its namespace, `$3` limit. All of it is one snapshot. Loads
 * are only counted when there is somebody to be placed by them.
 */
const selectWaiting = `
  WITH first AS MATERIALIZED (
    SELECT level, rank, run_id, fence FROM ready WHERE lane = $1
    ORDER BY level, rank, run_id LIMIT $3)
  SELECT coalesce((SELECT revision FROM fleet WHERE namespace = $2), 0)::float8 AS revision,
    (SELECT value FROM remembered WHERE lane = $1) AS remembered,
    (SELECT json_agg(json_build_object('run', f.run_id, 'fence', f.fence,
        'gate', (SELECT gate FROM run WHERE id = f.run_id),
        'bound_to', (SELECT bound_to FROM placed WHERE run_id = f.run_id),
        'nth', (SELECT nth FROM child WHERE run_id = f.run_id),
        'count', (SELECT count FROM child WHERE run_id = f.run_id))
      ORDER BY f.level, f.rank, f.run_id)::text FROM first f) AS runs,
    CASE WHEN EXISTS (SELECT FROM first) THEN (
      SELECT json_agg(json_build_object('incarnation', l.incarnation, 'lane', l.name,
        'runs', l.runs))::text
      FROM (
        SELECT held.incarnation, lane.name, held.runs FROM (
          SELECT x.incarnation, x.lane, count(*) AS runs FROM executor e
          CROSS JOIN LATERAL (
            SELECT incarnation, lane FROM lease WHERE incarnation = e.incarnation OFFSET 0) x
          WHERE e.namespace = $2 AND e.standing < 2 GROUP BY 1, 2) held
        JOIN lane ON lane.id = held.lane
        UNION ALL
        SELECT n.executor, n.name, n.runs FROM (
          SELECT executor, name, (SELECT count(*) FROM ready WHERE lane = l.id) AS runs
          FROM lane l WHERE executor > 0 AND starts_with(name, $4 || ':')) n
        WHERE n.runs > 0) l) END AS loads`

/**
 * What a claim grants, from the rows it comes as.
 *
 * These are rows of `run`, since of most runs they tell all: a run that is neither gated nor careful and
 * was never granted has the numbers of a first grant, and a rank that follows from its due time. Of the
 * others the statement brings the numbers, as one text.
 */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { tooLate } from "../../core/domain/RunView.ts"
import type { ClaimRequest, Grant } from "../../core/services/RunStorage.ts"
import { numbers, type Pg, type Row } from "./Pg.ts"
import { conclusionOf, type ConclusionRow } from "./PgConclusions.ts"
import type { PgNames } from "./PgNames.ts"
import { encodeFailure } from "./rows.ts"

export interface GrantRow extends Row {
  readonly run: number
  readonly level: Lane.Level
  readonly task: number
  readonly due: number
  readonly slot: number | null
  readonly payload: string
  readonly idempotency_key: string | null
  /** The `Course` of runs that are not plain. */
  readonly numbers: string | null
  /** By the storage's clock, of a round that is handed out again. */
  readonly now?: number
}

/** What a grant carries of its run's course. */
interface Course {
  readonly rank: number
  /** By which it took its turn: an operator may have set another than its submit, if it is there. */
  readonly level?: Lane.Level
  readonly fence: number
  readonly attempt: number
  readonly crashes: number
  readonly isCareful: boolean
}

const firstGrant = { fence: 1, attempt: 1, crashes: 0, isCareful: false }

/**
 * `run,rank,fence,attempt,crashes,careful,level` of each, with `;` between them; `run,rank` of one that
 * has come through its gate and is plain otherwise.
 */
const decodeNumbers = (text: string | null): ReadonlyMap<number, Course> =>
  new Map(
    text === null ? [] : text.split(";").map((each): [number, Course] => {
      const [run, rank, fence, attempt, crashes, careful, level] = each.split(",").map(Number)
      if (fence === undefined) return [run!, { rank: rank!, ...firstGrant }]
      return [run!, {
        rank: rank!,
        fence,
        attempt: attempt!,
        crashes: crashes!,
        isCareful: careful === 1,
        level: level as Lane.Level,
      }]
    }),
  )

/** It is more than a first grant that has passed a gate. */
const hasCome = (course: Course | undefined): boolean =>
  course !== undefined && (course.isCareful || course.fence > 1)

export type PgGrants = ReturnType<typeof make>

export const make = (pg: Pg, names: PgNames) => {
  /** The grants; those too late to begin are ended instead, and the gates freed that way named. */
  const grantsOf = Effect.fnUntraced(function* (
    { incarnation, tellsAge }: Pick<ClaimRequest, "incarnation" | "tellsAge">,
    rows: ReadonlyArray<GrantRow>,
    numbersOfRows: string | null,
    now: number,
    turnsAt = now,
  ) {
    const courses = decodeNumbers(numbersOfRows)
    const plain = yield* plainGrantsOf(rows, courses, turnsAt)
    const grants = tellsAge === true ? aged(plain, rows, now) : plain
    // Only what was granted before has a checkpoint, only a careful one has a deadline.
    const others = rows.filter(({ idempotency_key: key, run }) =>
      hasCome(courses.get(run)) || (key !== null && FanIn.mayBeKey(key))
    )
    if (others.length === 0) return { grants, freed: [] }
    const more = yield* pg.query<MoreRow>("claims", "claim", selectMore, [
      numbers(others.map(({ run }) => run)),
      incarnation,
      encodeFailure(tooLate),
    ], false)
    const byRun = new Map(more.map((row) => [row.run, row]))
    return {
      grants: grants.flatMap((grant): Array<Grant> => {
        const row = byRun.get(grant.run)
        if (row === undefined) return [grant]
        const { checkpoint, count, is_late, nth, parent } = row
        const conclusion = conclusionOf(row)
        return is_late ? [] : [{
          ...grant,
          ...(checkpoint !== null && { checkpoint }),
          ...(parent !== null && { shard: { parent, index: nth, count } }),
          ...(conclusion !== undefined && { conclusion }),
        }]
      }),
      freed: more.flatMap(({ gate }) => gate === null ? [] : [gate]),
    }
  })

  const plainGrantsOf = Effect.fnUntraced(function* (
    rows: ReadonlyArray<GrantRow>,
    courses: ReadonlyMap<number, Course>,
    now: number,
  ) {
    const order = Lane.order(now)
    const taskOf = yield* names.tasksOf(rows.map(({ task }) => task))
    const placed = rows.map((row) => {
      const { run } = row
      const known = courses.get(run)
      const level = known?.level ?? row.level
      return { row, run, level, known, rank: known?.rank ?? Lane.rank(row.due, level) }
    })
    return placed.sort(order).map(({ row, known }): Grant => {
      const { namespace, task } = taskOf(row.task)
      const { attempt, crashes, fence, isCareful } = known ?? firstGrant
      const grant: Grant = {
        run: row.run as RunId,
        fence: fence as Fence,
        namespace,
        task,
        attempt,
        crashes,
        isCareful,
        payload: row.payload,
      }
      // Most have neither, and spreading nothing twice costs as much as all the rest.
      if (row.idempotency_key === null && row.slot === null) return grant
      return {
        ...grant,
        ...(row.idempotency_key !== null && { idempotencyKey: row.idempotency_key }),
        ...(row.slot !== null && { slot: row.slot }),
      }
    })
  })

  return grantsOf
}

/** With how long ago their runs first became due: a run is never updated. */
const aged = (
  grants: ReadonlyArray<Grant>,
  rows: ReadonlyArray<GrantRow>,
  now: number,
): ReadonlyArray<Grant> => {
  const due = new Map(rows.map((row) => [row.run, row.due]))
  return grants.map((grant) => ({
    ...grant,
    dueMillisAgo: Math.max(0, now - due.get(grant.run)!),
  }))
}

interface MoreRow extends ConclusionRow {
  readonly run: RunId
  readonly checkpoint: string | null
  readonly parent: RunId | null
  readonly nth: number
  readonly count: number
  readonly is_late: boolean
  readonly gate: GateKey | null
}

/** Running + Expire → Expired, Cancelled if it was to stop; and what else there is about the rest. */
const selectMore = `
  WITH x AS (
    DELETE FROM lease WHERE run_id = ANY (ARRAY(
      SELECT run_id FROM deadline WHERE run_id = ANY ($1::bigint[]) AND expires_at <= clock()))
      AND incarnation = $2 AND NOT is_start_marked AND attempt = 1
    RETURNING *),
  t AS (DELETE FROM deadline WHERE run_id = ANY (ARRAY(SELECT run_id FROM x))),
  o AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported, failure)
    SELECT run_id, clock(), claimed_at, incarnation, fence,
      CASE WHEN is_cancelling THEN 3 ELSE 6 END, is_cancelling::int, crashes, false,
      CASE WHEN NOT is_cancelling THEN $3::text END FROM x)
  SELECT u.run_id::float8 AS run, c.value AS checkpoint, k.parent::float8 AS parent, k.nth, k.count,
    x.run_id IS NOT NULL AS is_late,
    CASE WHEN x.gate IS NOT NULL THEN (SELECT gate FROM run WHERE id = u.run_id) END AS gate,
    z.state, z.phase, z.result, z.failure
  FROM unnest($1::bigint[]) AS u(run_id)
  LEFT JOIN checkpoint c ON c.run_id = u.run_id
  LEFT JOIN conclusion z ON z.run_id = u.run_id AND z.phase <> 2
  LEFT JOIN child k ON k.run_id = u.run_id
  LEFT JOIN x ON x.run_id = u.run_id`

/** Executors in PostgreSQL: see `ExecutorStorage` for the laws. */
import { Effect } from "effect"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { PoolSizes } from "../../core/domain/PoolSizes.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { ExecutorStorage } from "../../core/services/ExecutorStorage.ts"
import type { TaskStorage } from "../../core/services/TaskStorage.ts"
import { type Pg, texts } from "./Pg.ts"
import type { PgClock } from "./PgClock.ts"
import * as PgEndings from "./PgEndings.ts"
import type { PgNames } from "./PgNames.ts"
import { type ExecutorRow, executorView } from "./rows.ts"

const goneMillis = 3_600_000

/** As the index of those has it. */
const isToStop = "(is_cancelling OR is_suspending)"

/** After what has beaten. */
const beatWith = (beaten: string) => `
  ${beaten}
  SELECT sizes, (SELECT count(*)::int FROM lease WHERE incarnation = $1) AS count,
    (SELECT coalesce(sum((run_id % 1000003) * (fence % 1009)), 0)::float8
      FROM lease WHERE incarnation = $1) AS digest,
    ARRAY(SELECT run_id::float8 FROM lease
      WHERE incarnation = $1 AND ${isToStop} ORDER BY run_id) AS runs,
    ARRAY(SELECT fence FROM lease
      WHERE incarnation = $1 AND ${isToStop} ORDER BY run_id) AS fences,
    ARRAY(SELECT is_suspending FROM lease
      WHERE incarnation = $1 AND ${isToStop} ORDER BY run_id) AS suspending
  FROM beaten WHERE standing < 2`

const isHere = "standing < 2 AND beat_at + ttl > clock()"

export const make = (
  pg: Pg,
  names: PgNames,
  tasks: TaskStorage,
  clock: PgClock,
): ExecutorStorage => {
  const stand = (incarnation: Incarnation, operation: string, standing: number) =>
    Effect.asVoid(
      pg.query(
        "beats",
        operation,
        `UPDATE executor SET standing = $2 WHERE incarnation = $1 AND ${isHere}`,
        [incarnation, standing],
      ),
    )

  return {
    join: Effect.fnUntraced(function* (joining) {
      const { capacity, labels, name, namespace, resources = {}, ttlMillis } = joining
      const of = yield* names.namespace(namespace)
      const [row] = yield* pg.query<{ incarnation: Incarnation }>(
        "beats",
        "join",
        `INSERT INTO executor (namespace, name, capacity, labels, ttl, resources, joined_at, beat_at,
           is_watched)
         SELECT $1, $2, $3, $4, $5, $6, ms, ms,
           EXISTS (SELECT FROM subscription WHERE namespace = $1)
         FROM (SELECT clock() AS ms OFFSET 0) now
         RETURNING incarnation`,
        [of, name, capacity, JSON.stringify(labels), ttlMillis, JSON.stringify(resources)],
      )
      return row!.incarnation
    }),

    serve: (incarnation, definitions) =>
      Effect.andThen(
        tasks.define(definitions),
        Effect.asVoid(
          pg.query(
            "beats",
            "serve",
            `UPDATE executor SET tasks = $2::text[] WHERE incarnation = $1 AND ${isHere}`,
            [incarnation, texts(definitions.map(({ name }) => name))],
          ),
        ),
      ),

    // Late is lost for ever, also when no sweep has noticed: the beat itself says so.
    beat: Effect.fnUntraced(function* (incarnation, known, vitals, endings) {
      const said = vitals === undefined ? null : JSON.stringify(vitals)
      const left = endings === undefined
        ? []
        : [endings.number, ...PgEndings.columnsOf(endings.all)]
      const row = yield* clock.expecting((expectation) =>
        Effect.map(
          pg.query<{
            count: number
            digest: number
            runs: ReadonlyArray<RunId>
            fences: ReadonlyArray<Fence>
            suspending: ReadonlyArray<boolean>
            sizes: string | null
          }>(
            "beats",
            "beat",
            endings === undefined ? beatUnlessStepped : beatAndLeave,
            [incarnation, ...expectation, said, ...left],
          ),
          ([row]) => row,
        )
      )
      if (row === undefined) return { _tag: "Lost" }
      return {
        _tag: "Alive",
        revoked: row.runs.map((run, index) => ({
          run,
          fence: row.fences[index]!,
          ...(row.suspending[index] === true && { isSuspending: true as const }),
        })),
        isAgreed: row.count === known.count && row.digest === known.digest,
        ...(row.sizes !== null && { sizes: JSON.parse(row.sizes) as PoolSizes }),
      }
    }),

    resize: (namespace, incarnation, sizes) =>
      Effect.map(
        pg.query(
          "beats",
          "resize",
          `UPDATE executor SET sizes = $3 WHERE incarnation = $2 AND ${isHere}
             AND namespace = (SELECT id FROM namespace WHERE name = $1) RETURNING incarnation`,
          [namespace, incarnation, JSON.stringify(sizes)],
        ),
        (rows) => rows.length === 1,
      ),

    drain: (incarnation) => stand(incarnation, "drain", 1),

    leave: (incarnation) => stand(incarnation, "leave", 2),

    list: (namespace) =>
      Effect.map(
        pg.query<ExecutorRow>(
          "reads",
          "executors",
          `SELECT e.incarnation, e.name, e.capacity, e.labels, e.resources, e.tasks, e.vitals,
             CASE WHEN ${isHere} OR standing > 1 THEN standing ELSE 3 END AS standing,
             (SELECT count(*)::int FROM lease l WHERE l.incarnation = e.incarnation) AS held,
             e.joined_at::float8 AS joined_at, e.beat_at::float8 AS beat_at
           FROM executor e JOIN namespace n ON n.id = e.namespace
           WHERE n.name = $1 AND (${isHere} OR beat_at > clock() - $2)
           ORDER BY e.incarnation DESC`,
          [namespace, goneMillis],
        ),
        (rows) => rows.map((row) => executorView(namespace, row)),
      ),
  }
}

const beatUnlessStepped = beatWith(`
  WITH beaten AS (
    UPDATE executor SET
      beat_at = CASE WHEN ${isHere} THEN clock() ELSE beat_at END,
      standing = CASE WHEN ${isHere} THEN standing ELSE 3 END,
      vitals = coalesce($4, vitals)
    WHERE incarnation = $1 AND standing < 2 AND abs(steady_clock() - $2::bigint) <= $3::bigint
    RETURNING standing, sizes)`)

/** Who comes after another knows of its number. */
const beatAndLeave = beatWith(`
  WITH before AS MATERIALIZED (
    SELECT endings_number AS number FROM executor WHERE incarnation = $1 FOR UPDATE),
  beaten AS (
    UPDATE executor SET
      beat_at = CASE WHEN ${isHere} THEN clock() ELSE beat_at END,
      standing = CASE WHEN ${isHere} THEN standing ELSE 3 END,
      vitals = coalesce($4, vitals),
      endings_number = greatest(endings_number, $5)
    FROM before
    WHERE incarnation = $1 AND standing < 2 AND abs(steady_clock() - $2::bigint) <= $3::bigint
    RETURNING standing, sizes, before.number),
  said AS MATERIALIZED (
    SELECT steady_clock() AS ms FROM beaten WHERE standing < 2 AND number < $5),
  ${PgEndings.replace(6)}`)

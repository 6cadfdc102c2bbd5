/** Task definitions in PostgreSQL: see `TaskStorage` for the laws. */
import { Effect, Option, Schema } from "effect"
import { TaskDefinition } from "../../core/domain/Task.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Final } from "../../core/domain/Run.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import * as Waiting from "../../core/domain/Waiting.ts"
import {
  type DefinedTask,
  lookedAt,
  saidMax,
  type TaskStorage,
} from "../../core/services/TaskStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import type { PgNames } from "./PgNames.ts"
import { decodeFailure, stateOf } from "./rows.ts"

const Json = Schema.fromJsonString(TaskDefinition)
const encode = Schema.encodeSync(Json)
const decode = Schema.decodeSync(Json)

interface TaskRow {
  readonly [column: string]: unknown
  readonly definition: string
  readonly revision: number
}

const defined = ({ definition, revision }: TaskRow): DefinedTask => ({
  definition: decode(definition),
  revision,
})

export const make = (pg: Pg, names: PgNames): TaskStorage => {
  const numbersOf = Effect.fnUntraced(function* (definitions: ReadonlyArray<TaskDefinition>) {
    // `submit` in SQL needs the lane: made in its transaction, it would keep everybody else waiting.
    yield* names.laneNumbers(
      definitions.map(({ name, namespace, policy }) =>
        Waiting.place(namespace, name, policy, undefined).lane
      ),
    )
    return yield* names.taskNumbers(
      definitions.map(({ name, namespace }) => ({ namespace, task: name })),
    )
  })

  return {
    define: Effect.fnUntraced(function* (definitions) {
      if (definitions.length === 0) return
      // The one named last holds; a statement may update a row only once.
      const last = [...new Map(definitions.map((each) => [`${each.namespace} ${each.name}`, each]))
        .values()]
      const ids = yield* numbersOf(last)
      yield* pg.query(
        "writes",
        "define",
        `UPDATE task SET definition = u.definition, revision = task.revision + 1
       FROM unnest($1::int[], $2::text[]) AS u(id, definition)
       WHERE task.id = u.id AND task.definition IS DISTINCT FROM u.definition`,
        [numbers(ids), texts(last.map((definition) => encode(definition)))],
      )
    }),
    introduce: Effect.fnUntraced(function* (definition) {
      yield* pg.query(
        "writes",
        "introduce",
        `UPDATE task SET definition = $2, revision = revision + 1
       WHERE id = $1 AND definition IS NULL`,
        [(yield* numbersOf([definition]))[0]!, encode(definition)],
      )
    }),
    find: (namespace, name) =>
      Effect.map(
        pg.query<TaskRow>(
          "reads",
          "find",
          `SELECT t.definition, t.revision FROM task t JOIN namespace n ON n.id = t.namespace
         WHERE n.name = $1 AND t.name = $2 AND t.definition IS NOT NULL`,
          [namespace, name],
        ),
        ([row]) => Option.map(Option.fromNullishOr(row), defined),
      ),
    list: (namespace) =>
      Effect.map(
        pg.query<TaskRow>(
          "reads",
          "list",
          `SELECT t.definition, t.revision FROM task t JOIN namespace n ON n.id = t.namespace
         WHERE n.name = $1 AND t.definition IS NOT NULL ORDER BY t.name COLLATE "C"`,
          [namespace],
        ),
        (rows) => rows.map(defined),
      ),
    lasts: (namespace) =>
      Effect.map(
        pg.query<LastRow>("reads", "list", selectLasts, [namespace]),
        (rows) =>
          rows.map(({ attempt, claimed_at, failure, finished_at, result, run, state, task }) => ({
            task,
            run,
            state: stateOf(state) as Final,
            attempt,
            claimedAt: claimed_at,
            finishedAt: finished_at,
            said: (failure === null ? result ?? undefined : decodeFailure(failure).message)
              ?.slice(0, saidMax),
          })),
      ),
  }
}

interface LastRow {
  readonly [column: string]: unknown
  readonly task: TaskName
  readonly run: RunId
  readonly state: number
  readonly attempt: number
  readonly claimed_at: number
  readonly finished_at: number
  readonly result: string | null
  readonly failure: string | null
}

/**
 * From each of a few places so many look-ups, task by task from an index: after the latest run, at
 * those that are held, and at the first that waits in its lane. Scalar queries, since no plan can
 * make of them a join with all of history.
 */
const selectLasts = `
  WITH held AS MATERIALIZED (
    SELECT task, min(run_id) AS first, max(run_id) AS last FROM (
      SELECT run_id, (SELECT task FROM run WHERE id = x.run_id) AS task FROM lease x) h
    GROUP BY task)
  SELECT k.name AS task, e.run_id::float8 AS run, e.state, e.attempt,
    e.claimed_at::float8 AS claimed_at, e.finished_at::float8 AS finished_at,
    CASE WHEN e.state = 0 THEN left(e.result, ${saidMax}) END AS result,
    CASE WHEN e.state <> 0 THEN e.failure END AS failure
  FROM task k
  CROSS JOIN LATERAL (
    SELECT id, lane FROM run WHERE run.task = k.id ORDER BY -id LIMIT 1) newest
  CROSS JOIN LATERAL (
    SELECT o.* FROM (VALUES
        (newest.id + 1),
        ((SELECT first FROM held WHERE held.task = k.id)),
        ((SELECT last FROM held WHERE held.task = k.id)),
        ((SELECT run_id FROM ready WHERE ready.lane = newest.lane
          ORDER BY level, rank, run_id LIMIT 1))) AS place(id)
    CROSS JOIN LATERAL (
      SELECT id FROM run WHERE run.task = k.id AND -id > -place.id
      ORDER BY -id LIMIT ${lookedAt}) near
    CROSS JOIN LATERAL (SELECT * FROM outcome WHERE run_id = near.id OFFSET 0) o
    WHERE o.claimed_at IS NOT NULL ORDER BY o.finished_at DESC, o.run_id DESC LIMIT 1) e
  WHERE k.definition IS NOT NULL AND k.namespace = (SELECT id FROM namespace WHERE name = $1)`

/**
 * What only PostgreSQL can get wrong about what leaves. Tried, and caught: rows beside a run stay; a
 * thousand compared with a thousand; a run taken for its submit's age, not its end's.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as HistoryStorageContract from "../../core/contract/HistoryStorageContract.ts"
import { freshNamespace, specOf, submitOne } from "../../core/contract/world.ts"
import * as Retention from "../../core/domain/Retention.ts"
import { retireRunsOfTask } from "./PgHistory.ts"
import { client, elapse, layer } from "./TestStorage.ts"

interface Node {
  readonly "Rows Removed by Join Filter"?: number
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
  readonly Plans?: ReadonlyArray<Node>
}

const nodes = (node: Node): ReadonlyArray<Node> => [node, ...(node.Plans ?? []).flatMap(nodes)]

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })("PgHistory", (it) => {
  it.effect("a run that has left has no row in any table", () =>
    Effect.gen(function* () {
      const runs = yield* HistoryStorageContract.left(elapse)
      const sql = yield* client
      const columns = yield* sql.unsafe<{ readonly table: string; readonly column: string }>(`
        SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
        WHERE table_schema = current_schema()
          AND (column_name IN ('run_id', 'parent') OR table_name = 'run' AND column_name = 'id')`)
      const left = yield* Effect.filter(columns, ({ column, table }) =>
        Effect.map(
          sql.unsafe(`SELECT FROM "${table}" WHERE "${column}" IN (${runs.join(", ")}) LIMIT 1`),
          (rows) => rows.length > 0,
        ))
      assert.isAbove(columns.length, 10)
      assert.deepEqual(left, [])
    }).pipe(Effect.scoped))

  it.effect("a thousand runs leave at the cost of a thousand look-ups, not of a million", () =>
    Effect.gen(function* () {
      const count = 1000
      const namespace = freshNamespace()
      const first = yield* submitOne(specOf(namespace))
      const sql = yield* client
      yield* sql`
        INSERT INTO run (id, created_at, due_at, task, lane, level, crashes_max, is_at_most_once,
          payload)
        SELECT nextval('run_id'), created_at, due_at, task, lane, level, crashes_max,
          is_at_most_once, payload FROM run, generate_series(1, ${count}) WHERE id = ${first}`
      const [row] = yield* sql<{ task: number }>`SELECT task FROM run WHERE id = ${first}`
      const { task } = row!
      yield* sql`
        INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported)
        SELECT id, created_at + CASE WHEN id = ${
        first + 5
      } THEN 2000000000 ELSE 0 END, 1, 0, 1, 0, true
        FROM run WHERE task = ${task} AND id > ${first}`
      yield* elapse(Duration.days(31))
      const age = Retention.millis[Retention.usual]
      const ages = Retention.Retention.literals.map((each) => `${Retention.millis[each]}`)
      const [said] = yield* sql.unsafe<{ "QUERY PLAN": readonly [{ readonly Plan: Node }] }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${retireRunsOfTask}`,
        [task, "0", `${age}`, count, ...ages],
      )
      const root = said!["QUERY PLAN"][0].Plan
      const removed = nodes(root).map((node) => node["Rows Removed by Join Filter"] ?? 0)
      assert.isAtMost(Math.max(...removed), count)
      assert.isAtMost(root["Shared Hit Blocks"] + root["Shared Read Blocks"], 20 * count)
      const left = yield* sql<{ id: number }>`
        SELECT id::float8 AS id FROM run WHERE task = ${task} ORDER BY id`
      assert.deepStrictEqual(
        left.map(({ id }) => id - first),
        [0, 5, count],
        "that which has not ended, that which ended late, and the last of a thousand and one",
      )
    }).pipe(Effect.scoped))
})

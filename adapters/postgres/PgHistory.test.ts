import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as HistoryStorageContract from "../../core/contract/HistoryStorageContract.ts"
import { client, elapse, layer } from "./TestStorage.ts"

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
})

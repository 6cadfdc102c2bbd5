/** A key is found by its run, which is about as old as the key is. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX idempotency_by_run ON idempotency (run_id)`
})

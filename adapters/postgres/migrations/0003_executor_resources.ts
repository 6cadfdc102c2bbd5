/** What an executor offers to runs, as JSON. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE executor ADD COLUMN resources text NOT NULL DEFAULT '{}'`
})

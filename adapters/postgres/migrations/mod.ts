/** The migrations in order. They go forward only: a new one is added, an old one never changed. */
import { Migrator } from "effect/sql"
import scheduler from "./0001_scheduler.ts"
import states from "./0002_states.ts"
import executorResources from "./0003_executor_resources.ts"
import history from "./0004_history.ts"

export const loader = Migrator.fromRecord({
  "0001_scheduler": scheduler,
  "0002_states": states,
  "0003_executor_resources": executorResources,
  "0004_history": history,
})

/** The number that a database must have reached for this code. */
export const latest = 4

/** Where the migrations that ran are written down, in the schema of the scheduler. */
export const table = "migration"

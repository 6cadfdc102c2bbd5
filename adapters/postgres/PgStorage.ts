/** The storage in PostgreSQL: what its parts share, and the checks before it starts. */
import { Effect, type Scope } from "effect"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import * as migrations from "./migrations/mod.ts"
import { DatabaseUnfit, type Pg } from "./Pg.ts"
import * as PgExecutors from "./PgExecutors.ts"
import * as PgHistory from "./PgHistory.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import * as PgRuns from "./PgRuns.ts"
import * as PgTasks from "./PgTasks.ts"
import * as PgTriggers from "./PgTriggers.ts"
import * as PgVacuum from "./PgVacuum.ts"

export const make = Effect.fn("PgStorage.make")(function* (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
): Effect.fn.Return<Storage["Service"], StorageUnavailable, Scope.Scope> {
  let hasClaimed = false
  const tasks = PgTasks.make(pg, names)
  const runs = yield* PgRuns.make(pg, names, hints, () => {
    hasClaimed = true
  })
  if (pg.config.isVacuuming !== false) {
    yield* Effect.forkScoped(PgVacuum.run(pg, () => {
      const had = hasClaimed
      hasClaimed = false
      return had
    }))
  }
  return Storage.of({
    technology: "postgres",
    tasks,
    triggers: PgTriggers.make(pg, names, hints),
    runs,
    executors: PgExecutors.make(pg, names, tasks),
    history: PgHistory.make(pg),
    now: Effect.map(
      pg.query<{ now: number }>("beats", "now", "SELECT clock()::float8 AS now"),
      ([row]) => row!.now,
    ),
  })
})

const oldest = 150_000

/** Fails unless the server is new enough, may be written to, and has the tables of this code. */
export const check = Effect.fn("PgStorage.check")(function* (pg: Pg) {
  const [server] = yield* pg.query<{ version: number; name: string; is_replica: boolean }>(
    "writes",
    "check",
    `SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS name,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_replica`,
  )
  const { is_replica, name, version } = server!
  if (version < oldest) {
    return yield* new DatabaseUnfit({
      reason: `PostgreSQL ${name} is too old`,
      remedy: "Use PostgreSQL 15 or later",
    })
  }
  if (is_replica) {
    return yield* new DatabaseUnfit({
      reason: "The server is a replica, or read-only",
      remedy: "Give the address of the primary, as with target_session_attrs=read-write",
    })
  }
  const [state] = yield* pg.query<{ is_there: boolean }>(
    "writes",
    "check",
    `SELECT to_regclass($1) IS NOT NULL AS is_there`,
    [`${pg.schema}.${migrations.table}`],
  )
  const [last] = state!.is_there
    ? yield* pg.query<{ id: number | null }>(
      "writes",
      "check",
      `SELECT max(migration_id)::int AS id FROM ${migrations.table}`,
    )
    : []
  if ((last?.id ?? 0) < migrations.latest) {
    return yield* new DatabaseUnfit({
      reason: `The schema "${pg.schema}" is at migration ${last?.id ?? 0} of ${migrations.latest}`,
      remedy: "Run the migrations, with `layerMigrations` or `belfry migrate`",
    })
  }
})

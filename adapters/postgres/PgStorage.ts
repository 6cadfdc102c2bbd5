/** The storage in PostgreSQL: what its parts share, and the checks before it starts. */
import { Effect, type Scope } from "effect"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { table } from "./migrations/mod.ts"
import { codeIn, DatabaseUnfit, type Pg } from "./Pg.ts"
import * as PgAnswers from "./PgAnswers.ts"
import * as PgAudit from "./PgAudit.ts"
import * as PgCalendars from "./PgCalendars.ts"
import type { PgClock } from "./PgClock.ts"
import * as PgExecutors from "./PgExecutors.ts"
import { PgFloors } from "./PgFloors.ts"
import * as PgHistory from "./PgHistory.ts"
import type { PgHints } from "./PgHints.ts"
import { missing, selectApplied } from "./PgMigrations.ts"
import type { PgNames } from "./PgNames.ts"
import * as PgOutbox from "./PgOutbox.ts"
import * as PgLogs from "./PgLogs.ts"
import type { PgLooks } from "./PgLooks.ts"
import * as PgPermits from "./PgPermits.ts"
import * as PgPlacements from "./PgPlacements.ts"
import * as PgRuns from "./PgRuns.ts"
import * as PgServer from "./PgServer.ts"
import * as PgTable from "./PgTable.ts"
import * as PgTasks from "./PgTasks.ts"
import * as PgTransfer from "./PgTransfer.ts"
import * as PgTriggers from "./PgTriggers.ts"
import * as PgVacuum from "./PgVacuum.ts"

export const make = Effect.fn("PgStorage.make")(function* (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
  clock: PgClock,
  looks: PgLooks,
): Effect.fn.Return<Storage["Service"], StorageUnavailable, Scope.Scope> {
  let hasClaimed = false
  const tasks = PgTasks.make(pg, names)
  const floors = yield* PgFloors.make(pg, hints)
  const runs = yield* PgRuns.make(pg, names, hints, clock, floors, looks, () => {
    hasClaimed = true
  })
  yield* Effect.forkScoped(PgVacuum.run(pg, {
    isVacuuming: pg.config.isVacuuming !== false,
    floors,
    hasClaimed: () => {
      const had = hasClaimed
      hasClaimed = false
      return had
    },
  }))
  return Storage.of({
    technology: "postgres",
    tasks,
    calendars: PgCalendars.make(pg, names, hints),
    triggers: PgTriggers.make(pg, names, hints, looks),
    runs,
    placements: PgPlacements.make(pg, names, hints, floors),
    executors: PgExecutors.make(pg, names, tasks, clock),
    outbox: PgOutbox.make(pg, names, looks),
    logs: PgLogs.make(pg),
    history: PgHistory.make(pg),
    transfer: PgTransfer.make(pg),
    permits: PgPermits.make(pg, names),
    audit: PgAudit.make(pg),
    answers: PgAnswers.make(pg),
    tables: PgTable.tableOver((text, params) => pg.query("reads", "read a table", text, params)),
    now: Effect.map(
      pg.query<{ now: number }>("beats", "now", "SELECT clock()::float8 AS now"),
      ([row]) => row!.now,
    ),
  })
})

/** Fails unless the server is new enough, may be written to, and has the tables of this code. */
export const check = Effect.fn("PgStorage.check")(
  function* (pg: Pg) {
    const [server] = yield* pg.query<PgServer.Server>("writes", "check", PgServer.describe)
    const [other] = yield* pg.query<PgServer.Server>("reads", "check", PgServer.describe)
    const reason = PgServer.unfit(pg.schema, server!, other!)
    if (reason !== undefined) return yield* reason
    const [state] = yield* pg.query<{ is_there: boolean }>(
      "writes",
      "check",
      `SELECT to_regclass($1) IS NOT NULL AS is_there`,
      [`${pg.schema}.${table}`],
    )
    const ran = state!.is_there
      ? yield* pg.query<{ name: string; digest: string | null }>("writes", "check", selectApplied)
      : []
    const [first, ...others] = yield* missing(pg.schema, ran)
    if (first !== undefined) {
      return yield* new DatabaseUnfit({
        reason: `The schema "${pg.schema}" lacks ${1 + others.length} migrations, first of all ` +
          `"${first.name}"`,
        remedy: "Run the migrations, with `layerMigrations` or `belfry migrate`",
      })
    }
  },
  Effect.catchTag(
    "StorageUnavailable",
    (error) => Effect.fail(PgServer.isOfPooler(codeIn(error)) ? PgServer.behindPooler() : error),
  ),
)

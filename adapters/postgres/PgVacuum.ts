/**
 * Vacuums the hot tables while runs are claimed.
 *
 * Their rows live for a moment, and autovacuum comes about once a minute, when a million dead rows
 * stand in front of the living ones. A pass every two seconds takes ten milliseconds.
 */
import { Duration, Effect, Schedule } from "effect"
import type { Pg } from "./Pg.ts"

const interval = Duration.seconds(2)
const spaced = Schedule.spaced("10 seconds")
const tables = ["ready", "lease", "scheduled"] as const
/** With fewer dead rows there is nothing to gain; another process may just have been here. */
const deadMin = 1000

/** `hasClaimed` tells whether there was work since it was asked last. */
export const run = (pg: Pg, hasClaimed: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    const [role] = yield* pg.query<{ may: boolean }>(
      "writes",
      "vacuum",
      `SELECT bool_and(pg_has_role(relowner, 'USAGE')) AS may FROM pg_class
       WHERE oid = ANY (ARRAY['ready', 'lease', 'scheduled']::regclass[])`,
    )
    if (role?.may !== true) {
      return yield* Effect.logInfo(
        "The hot tables are left to autovacuum, since this role does not own them",
      )
    }
    while (true) {
      yield* Effect.sleep(interval)
      if (!hasClaimed()) continue
      const dirty = yield* pg.query<{ relname: (typeof tables)[number] }>(
        "writes",
        "vacuum",
        `SELECT relname::text AS relname FROM pg_stat_user_tables
         WHERE schemaname = current_schema() AND relname IN ('ready', 'lease', 'scheduled')
           AND n_dead_tup > ${deadMin}`,
      )
      for (const { relname } of dirty) {
        yield* pg.query(
          "writes",
          "vacuum",
          `VACUUM (SKIP_LOCKED, TRUNCATE false) ${tables.find((each) => each === relname)}`,
        )
      }
    }
  }).pipe(
    Effect.tapCause((cause) => Effect.logDebug("A vacuum of the hot tables failed", cause)),
    Effect.retry({ while: () => true, schedule: spaced }),
    Effect.ignore,
  )

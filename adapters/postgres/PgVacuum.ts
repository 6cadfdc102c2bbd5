/**
 * Vacuums the hot tables while runs are claimed.
 *
 * Their rows live for a moment, and autovacuum comes about once a minute, when a million dead rows
 * stand in front of the living ones. A pass every two seconds takes ten milliseconds. What a pass
 * cannot remove, claims are to pass by: see `PgFloors`.
 */
import { Duration, Effect, Schedule } from "effect"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Pg } from "./Pg.ts"
import type { PgFloors } from "./PgFloors.ts"

const interval = Duration.seconds(2)
const spaced = Schedule.spaced("10 seconds")
const tables = ["ready", "lease", "scheduled"] as const
/** With fewer dead rows there is nothing to gain; another process may just have been here. */
const deadMin = 1000

/** With so many left in `ready` a claim that looks at them all takes twice as long. */
const keptMany = 10_000
/** With so many after a pass, something keeps them: a transaction that has been open for long. */
const deadMany = 100_000
/** Said again no sooner than after so long. */
const reminder = Duration.toMillis("5 minutes")

/** Says which of the tables this role may not vacuum, and what to do about it. */
export const warn = Effect.fnUntraced(function* (pg: Pg) {
  const [row] = yield* pg.query<{ missing: string | null; role: string; can_grant: boolean }>(
    "writes",
    "vacuum",
    mayVacuum,
  )
  const { can_grant, missing, role } = row!
  if (missing === null) return true
  const remedy = can_grant
    ? `GRANT MAINTAIN ON ${missing} TO ${role}`
    : `ALTER TABLE … OWNER TO ${role}, or PostgreSQL 17 and GRANT MAINTAIN`
  yield* Effect.logWarning(
    `this role may not vacuum ${missing}, which autovacuum comes to once a minute: under load ` +
      `claims become slower meanwhile. ${remedy}`,
  )
  return false
})

/** As PostgreSQL itself judges: the owner of table or database, or who was granted MAINTAIN. */
const mayVacuum = `
  SELECT quote_ident(current_user) AS role, version >= 170000 AS can_grant,
    string_agg(c.relname, ', ' ORDER BY c.relname) FILTER (WHERE NOT (
      pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE')
      OR CASE WHEN version >= 170000 THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END
    )) AS missing
  FROM (SELECT current_setting('server_version_num')::int AS version OFFSET 0) v
  JOIN pg_database d ON d.datname = current_database()
  JOIN pg_class c ON c.oid = ANY (ARRAY['${tables.join("', '")}']::regclass[])
  GROUP BY version`

export interface Watch {
  readonly isVacuuming: boolean
  /** Whether there was work since it was asked last. */
  readonly hasClaimed: () => boolean
  readonly floors: PgFloors
}

export const run = (pg: Pg, { floors, hasClaimed, isVacuuming }: Watch): Effect.Effect<void> =>
  Effect.gen(function* () {
    const isAble = isVacuuming && (yield* warn(pg))
    let remindedAt = -Infinity
    while (true) {
      yield* Effect.sleep(interval)
      if (!hasClaimed()) continue
      const before = isAble ? yield* vacuum(pg) : 0
      floors.arm((yield* deadReady(pg)) > keptMany)
      if (before <= deadMany || performance.now() < remindedAt + reminder) continue
      remindedAt = performance.now()
      yield* blame(pg)
    }
  }).pipe(
    Effect.tapCause((cause) => Effect.logDebug("A vacuum of the hot tables failed", cause)),
    Effect.retry({ while: () => true, schedule: spaced }),
    Effect.ignore,
  )

/** The dead rows of `ready`: right after a vacuum, those that somebody's snapshot keeps. */
export const deadReady = (pg: Pg) =>
  Effect.map(
    pg.query<{ dead: number }>(
      "writes",
      "vacuum",
      "SELECT pg_stat_get_dead_tuples('ready'::regclass)::float8 AS dead",
    ),
    ([row]) => row!.dead,
  )

/** The most dead rows that there were, before, in one of the tables. */
const vacuum = Effect.fnUntraced(function* (
  pg: Pg,
): Effect.fn.Return<number, StorageUnavailable> {
  const dirty = yield* pg.query<{ relname: (typeof tables)[number]; dead: number }>(
    "writes",
    "vacuum",
    `SELECT relname::text AS relname, n_dead_tup::float8 AS dead FROM pg_stat_user_tables
     WHERE schemaname = current_schema() AND relname = ANY ('{${tables.join(",")}}')
       AND n_dead_tup > ${deadMin}`,
  )
  for (const { relname } of dirty) {
    yield* pg.query(
      "writes",
      "vacuum",
      `VACUUM (SKIP_LOCKED, TRUNCATE false) ${tables.find((each) => each === relname)}`,
    )
  }
  return Math.max(0, ...dirty.map(({ dead }) => dead))
})

/** Names who holds the oldest snapshot: no dead row younger than it can be removed. */
export const blame = Effect.fnUntraced(function* (pg: Pg, secondsMin = 10) {
  const [oldest] = yield* pg.query<{ pid: number; seconds: number; who: string }>(
    "writes",
    "vacuum",
    `SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds,
       concat_ws(' ', usename, nullif(application_name, '')) AS who
     FROM pg_stat_activity
     WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
     ORDER BY age(backend_xmin) DESC LIMIT 1`,
  )
  if (oldest === undefined || oldest.seconds < secondsMin) return
  const { pid, seconds, who } = oldest
  yield* Effect.logWarning(
    `a transaction keeps dead rows in front of the living, and claims become slower: process ${pid} ` +
      `(${who}), open for ${seconds} s. End it, or pg_terminate_backend(${pid})`,
  )
})

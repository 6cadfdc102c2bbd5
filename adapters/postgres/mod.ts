/**
 * Storage, locks and wake-ups in PostgreSQL, 15 or later.
 *
 * `layer` runs no DDL, so that a role without the right to it will do, once a deploy step has built
 * `layerMigrations`; `layerMigrated` does both.
 */
import { PgClient } from "@effect/sql-pg"
import { Cause, Context, Effect, Layer } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import { loader, table } from "./migrations/mod.ts"
import { type Config, connection, DatabaseUnfit, make, schemaOf, unavailable } from "./Pg.ts"
import { PgHints } from "./PgHints.ts"
import * as PgLock from "./PgLock.ts"
import { PgNames } from "./PgNames.ts"
import * as PgStorage from "./PgStorage.ts"
import * as PgWakeups from "./PgWakeups.ts"

export { type Config, DatabaseUnfit } from "./Pg.ts"

export const layer = (
  config: Config,
): Layer.Layer<Storage | Lock | Wakeups, DatabaseUnfit | StorageUnavailable> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const pg = yield* make(config)
      yield* PgStorage.check(pg)
      const names = new PgNames(pg)
      const hints = yield* PgHints.make(pg)
      const wakeups = PgWakeups.make(hints, names)
      return Context.make(Storage, yield* PgStorage.make(pg, names, hints)).pipe(
        Context.add(Lock, PgLock.make(pg, hints, wakeups)),
        Context.add(Wakeups, wakeups),
      )
    }),
  )

/** Brings the schema up to date when it is built. Several processes may do so at the same time. */
export const layerMigrations = (
  config: Config,
): Layer.Layer<never, DatabaseUnfit | StorageUnavailable> =>
  Layer.unwrap(
    Effect.map(schemaOf(config), (schema) =>
      Layer.effectDiscard(migrate(schema)).pipe(
        Layer.provide(
          PgClient.layer({ ...connection(config, schema, "migrations"), maxConnections: 1 }),
        ),
        Layer.catchCause((cause) =>
          Layer.effectDiscard(Effect.fail(unavailable("migrate")(Cause.squash(cause))))
        ),
      )),
  )

export const layerMigrated = (
  config: Config,
): Layer.Layer<Storage | Lock | Wakeups, DatabaseUnfit | StorageUnavailable> =>
  Layer.provide(layer(config), layerMigrations(config))

/** All in one transaction, and one process at a time. */
const migrate = (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`belfry migrations ${schema}`}, 0))::text`
    yield* sql`CREATE SCHEMA IF NOT EXISTS ${sql(schema)}`
    yield* Migrator.make({})({ loader, table })
  }).pipe((all) => SqlClient.SqlClient.use((sql) => sql.withTransaction(all)))

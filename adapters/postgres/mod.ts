/**
 * Storage, locks and wake-ups in PostgreSQL, 15 or later.
 *
 * `layer` runs no DDL, so that a role without the right to it will do, once a deploy step has built
 * `layerMigrations`; `layerMigrated` does both.
 */
import { Context, Effect, Layer } from "effect"
import { HintCarrier } from "../../core/services/HintCarrier.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import { type Config, type DatabaseUnfit, make } from "./Pg.ts"
import * as PgClock from "./PgClock.ts"
import { PgHints } from "./PgHints.ts"
import * as PgLock from "./PgLock.ts"
import * as PgLooks from "./PgLooks.ts"
import type { MigrationConfig } from "./PgMigrations.ts"
import * as PgMigrations from "./PgMigrations.ts"
import { PgNames } from "./PgNames.ts"
import * as PgStorage from "./PgStorage.ts"
import * as PgWakeups from "./PgWakeups.ts"

export { type Config, DatabaseUnfit } from "./Pg.ts"
export { table } from "./PgTable.ts"
export { submit, type TransactionalSubmit } from "./PgTransactional.ts"
export type { MigrationConfig } from "./PgMigrations.ts"

export const layer = (
  config: Config,
): Layer.Layer<Storage | Lock | Wakeups, DatabaseUnfit | StorageUnavailable> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const pg = yield* make(config)
      yield* PgStorage.check(pg)
      const names = new PgNames(pg)
      const looks = yield* PgLooks.make(pg)
      const clock = yield* PgClock.make(pg, looks)
      const carrier = yield* HintCarrier
      const carry = carrier && PgWakeups.carrying(carrier, names)
      const hints = yield* PgHints.make(pg, looks, undefined, carry)
      const wakeups = PgWakeups.make(hints, names)
      return Context.make(Storage, yield* PgStorage.make(pg, names, hints, clock, looks)).pipe(
        Context.add(Lock, PgLock.make(pg, hints, wakeups, clock)),
        Context.add(Wakeups, wakeups),
      )
    }),
  )

/** Brings the schema up to date when it is built. Several processes may do so at the same time. */
export const layerMigrations: (
  config: MigrationConfig,
) => Layer.Layer<never, DatabaseUnfit | StorageUnavailable> = PgMigrations.layer

export const layerMigrated = (
  config: Config,
): Layer.Layer<Storage | Lock | Wakeups, DatabaseUnfit | StorageUnavailable> =>
  Layer.provide(layer(config), layerMigrations(config))

/**
 * Everything in one SQLite file, which several processes of one machine may share. Nothing to
 * install: Node and Deno ship SQLite.
 */
import { Clock, Context, Effect, Layer } from "effect"
import type { Refused } from "../../core/domain/Refused.ts"
import { HintCarrier } from "../../core/services/HintCarrier.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import * as Database from "./Database.ts"
import * as Neighbours from "./Neighbours.ts"
import * as SqliteLock from "./SqliteLock.ts"
import * as SqliteStorage from "./SqliteStorage.ts"
import * as SqliteWakeups from "./SqliteWakeups.ts"

export { table } from "./SqliteTable.ts"

export interface Options {
  /** Made if it does not exist. `:memory:` is gone when the layer's scope ends. */
  readonly file: string
}

/** `Refused`: the file is not ours, or was made by a newer version. */
export const layer = (
  { file }: Options,
): Layer.Layer<Storage | Wakeups | Lock, Refused | StorageUnavailable> =>
  Layer.effectContext(Effect.gen(function* () {
    const db = yield* Database.open(file, yield* Clock.Clock)
    const neighbours = yield* Neighbours.make(db)
    const wakeups = SqliteWakeups.make(db, neighbours)
    const carrier = yield* HintCarrier
    if (carrier !== undefined) {
      db.listeners.add(carrier.give)
      neighbours.listeners.add(carrier.giveHere)
    }
    return Context.make(Storage, SqliteStorage.make(db)).pipe(
      Context.add(Wakeups, wakeups),
      Context.add(Lock, SqliteLock.make(db, wakeups)),
    )
  }))

/**
 * Locks in Redis 6.2 or later, or what speaks its language: for those who have one, and want locks
 * without a database. Its storage is another adapter's.
 *
 * ```ts
 * import { Layer, Redacted } from "effect"
 * import { Locks } from "belfry"
 * import * as Redis from "belfry/redis"
 *
 * export const LocksLive = Locks.layer.pipe(
 *   Layer.provide(Redis.layer({ url: Redacted.make("redis://127.0.0.1:6379") })),
 * )
 * ```
 */
import { Effect, Layer } from "effect"
import type { Refused } from "../../core/domain/Refused.ts"
import { Lock } from "../../core/services/Lock.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { fences } from "./durability.ts"
import { type Config, make } from "./Redis.ts"
import { RedisHints } from "./RedisHints.ts"
import * as RedisLock from "./RedisLock.ts"

export { type Config } from "./Redis.ts"

export const layer = (config: Config): Layer.Layer<Lock, Refused | StorageUnavailable> =>
  Layer.effect(
    Lock,
    Effect.gen(function* () {
      const redis = yield* make(config)
      return RedisLock.make(redis, yield* RedisHints.make(config), yield* fences(redis))
    }),
  )

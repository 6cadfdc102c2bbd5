/**
 * Locks and wake-ups in Redis 6.2 or later, or what speaks its language. What is kept for good is in
 * a storage of another adapter.
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
import { Context, Effect, Layer } from "effect"
import type { Refused } from "../../core/domain/Refused.ts"
import { HintCarrier } from "../../core/services/HintCarrier.ts"
import { Lock } from "../../core/services/Lock.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import { fences } from "./durability.ts"
import { type Config, make } from "./Redis.ts"
import { RedisHints } from "./RedisHints.ts"
import * as RedisLock from "./RedisLock.ts"
import * as RedisWakeups from "./RedisWakeups.ts"

export { type Config } from "./Redis.ts"

export const layer = (config: Config): Layer.Layer<Lock, Refused | StorageUnavailable> =>
  Layer.effect(
    Lock,
    Effect.gen(function* () {
      const redis = yield* make(config)
      return RedisLock.make(redis, yield* RedisHints.make(config), yield* fences(redis))
    }),
  )

/**
 * What `kept` offers, with its hints carried through Redis. All processes over one storage do so, or
 * none of them: hints that go one way are not heard on the other.
 *
 * ```ts
 * import { Redacted } from "effect"
 * import * as Postgres from "belfry/postgres"
 * import * as Redis from "belfry/redis"
 *
 * export const KeptLive = Postgres.layer({ url: Redacted.make("postgres://db.example.org/app") })
 *   .pipe(Redis.carryingHints({ url: Redacted.make("redis://127.0.0.1:6379") }))
 * ```
 */
export const carryingHints = (config: Config) =>
<A, E, R>(
  kept: Layer.Layer<A, E, R>,
): Layer.Layer<A | Wakeups, E | Refused | StorageUnavailable, R> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const redis = yield* make(config)
      const { carrier, wakeups } = yield* RedisWakeups.make(
        redis,
        yield* RedisHints.make(config),
      )
      // Its own, for one that was built before knows nothing of the carrier.
      const services = yield* Layer.build(Layer.fresh(kept)).pipe(
        Effect.provideService(HintCarrier, carrier),
      )
      return Context.add(services, Wakeups, wakeups)
    }),
  )

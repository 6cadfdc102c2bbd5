/**
 * Everything in one process: whoever submits, schedules and carries out is the same program, over
 * whichever storage is provided.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "belfry"
 * import * as Embedded from "belfry/embedded"
 * import * as Sqlite from "belfry/sqlite"
 *
 * const Hello = Task.make("hello/world", {
 *   payload: { name: Schema.String },
 *   success: Schema.String,
 * })
 *
 * const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))
 *
 * const Live = HelloLive.pipe(
 *   Layer.provideMerge(Embedded.layer),
 *   Layer.provide(Sqlite.layer({ file: ":memory:" })),
 * )
 *
 * console.log(await Effect.runPromise(Effect.provide(Hello.execute({ name: "Ada" }), Live)))
 * ```
 */
import { Layer } from "effect"
import * as DirectTransport from "../adapters/direct/DirectTransport.ts"
import type { Refused } from "../core/domain/Refused.ts"
import { Breakers } from "../core/engine/Breakers.ts"
import { Groups } from "../core/engine/Groups.ts"
import { Executor, type ExecutorOptions } from "../core/engine/Executor.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import { Locks } from "../core/engine/Locks.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import type { Lock } from "../core/services/Lock.ts"
import type { Ownership } from "../core/services/Ownership.ts"
import type { Storage } from "../core/services/Storage.ts"
import type { JoinRefused } from "../core/services/Transport.ts"
import type { Wakeups } from "../core/services/Wakeups.ts"

type Services = Executor | Scheduler | Triggers | Locks | Breakers | Groups

export const layerWith = (
  options: ExecutorOptions,
): Layer.Layer<Services, Refused | JoinRefused, Storage | Wakeups | Lock> =>
  Layer.provide(layerOwned(options), LocalOwnership.layer)

export const layer: Layer.Layer<Services, Refused | JoinRefused, Storage | Wakeups | Lock> = Layer
  .suspend(() => layerWith({}))

/**
 * For one of several processes over a storage, which fires triggers and sweeps while the `Ownership`
 * that it is provided with says that it is its turn. Without one each of them does all of that.
 */
export const layerOwned = (
  options: ExecutorOptions,
): Layer.Layer<Services, Refused | JoinRefused, Storage | Wakeups | Lock | Ownership> =>
  Layer.mergeAll(
    Executor.layerWith(options).pipe(Layer.provide(DirectTransport.layer)),
    Scheduler.layer,
    Triggers.layer,
    Locks.layer,
    Breakers.layer,
    Groups.layer,
  )

/**
 * What the probes ask. A server is ready while its storage answers, all that it does again and again
 * comes round, and it is not about to end.
 *
 * Anyone may ask, so the storage is asked at most once a second, however often the probe comes.
 */
import { Context, Effect, Latch, Layer } from "effect"
import { Loops } from "../core/engine/Loops.ts"
import { Storage } from "../core/services/Storage.ts"

export class Readiness extends Context.Service<Readiness, {
  readonly isReady: Effect.Effect<boolean>
  /** What this server should do again and again, and does not come round to any more. */
  readonly stalled: Effect.Effect<ReadonlyArray<string>>
  /** From now on the server is not ready. */
  readonly drain: Effect.Effect<void>
  /** Ends what waits for something and would wait on. */
  readonly letGo: Effect.Effect<void>
  /** Returns after `letGo`. */
  readonly isLetGo: Effect.Effect<void>
}>()("belfry/cluster/Readiness") {
  static readonly layer: Layer.Layer<Readiness, never, Storage> = Layer.effect(
    Readiness,
    Effect.gen(function* () {
      const { now } = yield* Storage
      const watch = yield* Loops
      const stalled = watch?.stalled ?? Effect.succeed([])
      let isDraining = false
      const lettingGo = Latch.makeUnsafe()
      const isStorageThere = yield* now.pipe(
        Effect.timeout("2 seconds"),
        Effect.as(true),
        Effect.catchCause(() => Effect.succeed(false)),
        Effect.cachedWithTTL("1 second"),
      )
      return Readiness.of({
        isReady: Effect.gen(function* () {
          if (isDraining || (yield* stalled).length > 0) return false
          return yield* isStorageThere
        }),
        stalled,
        drain: Effect.sync(() => {
          isDraining = true
        }),
        letGo: Effect.asVoid(lettingGo.open),
        isLetGo: Effect.asVoid(lettingGo.await),
      })
    }),
  )
}

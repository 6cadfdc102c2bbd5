/**
 * What the probes ask. A server is ready while its storage answers and it is not about to end.
 *
 * Anyone may ask, so the storage is asked at most once a second, however often the probe comes.
 */
import { Context, Effect, Latch, Layer } from "effect"
import { Storage } from "../core/services/Storage.ts"

export class Readiness extends Context.Service<Readiness, {
  readonly isReady: Effect.Effect<boolean>
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
      let isDraining = false
      const lettingGo = Latch.makeUnsafe()
      const isStorageThere = yield* now.pipe(
        Effect.timeout("2 seconds"),
        Effect.as(true),
        Effect.catchCause(() => Effect.succeed(false)),
        Effect.cachedWithTTL("1 second"),
      )
      return Readiness.of({
        isReady: Effect.suspend(() => isDraining ? Effect.succeed(false) : isStorageThere),
        drain: Effect.sync(() => {
          isDraining = true
        }),
        letGo: Effect.asVoid(lettingGo.open),
        isLetGo: Effect.asVoid(lettingGo.await),
      })
    }),
  )
}

/**
 * Ownership by one process at a time: whoever holds the lock holds every duty, the others wait and
 * one of them takes over within the ttl.
 */
import { Duration, Effect, Fiber, Latch, Layer } from "effect"
import { Ownership } from "../services/Ownership.ts"
import type { Lock } from "../services/Lock.ts"
import { Locks } from "./Locks.ts"
import { upkeep } from "./upkeep.ts"

export const layer = (options: {
  /** The installation: two of them on one lock store need two names. */
  readonly name: string
  readonly ttl?: Duration.Input
}): Layer.Layer<Ownership, never, Lock> =>
  Layer.effect(
    Ownership,
    Effect.gen(function* () {
      const locks = yield* Locks
      const isHeld = Latch.makeUnsafe()
      const isLost = Latch.makeUnsafe(true)

      const hold = Effect.acquireUseRelease(
        Effect.andThen(isLost.close, isHeld.open),
        () => Effect.never,
        () => Effect.andThen(isHeld.close, isLost.open),
      )
      yield* locks.withLock(`ownership/${options.name}`, () => hold, {
        ttl: options.ttl ?? "5 seconds",
      }).pipe(
        Effect.catchCause((cause) => Effect.logDebug("ownership passed on", cause)),
        Effect.andThen(Effect.sleep("200 millis")),
        Effect.forever,
        Effect.forkScoped,
      )

      return Ownership.of({
        whileHeld: (duty, work) =>
          Effect.gen(function* () {
            yield* isHeld.await
            const fiber = yield* Effect.forkChild(upkeep(duty, work))
            yield* isLost.await
            yield* Fiber.interrupt(fiber)
          }).pipe(Effect.forever),
      })
    }),
  ).pipe(Layer.provide(Locks.layer))

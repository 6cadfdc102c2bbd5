/** Locks, for those who have a server and no storage: there are none. */
import { Effect, Layer } from "effect"
import { Refused } from "../../core/domain/Refused.ts"
import { Locks } from "../../core/engine/Locks.ts"

const refused = Effect.fail(
  new Refused({
    field: "key",
    reason: "a lock is renewed where it is kept, and this program has no storage",
    remedy: "Hold it in a program that is connected to the database",
  }),
)

export const layer: Layer.Layer<Locks> = Layer.succeed(Locks, {
  tryWithLock: () => refused,
  withLock: () => refused,
})

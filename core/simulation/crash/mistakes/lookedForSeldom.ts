/** Planted: what was not let pass a gate when it should have been is looked for every ten seconds. */
import { Clock, Effect } from "effect"
import type { Mistake } from "../../World.ts"

const everyMillis = 10_000

export const lookedForSeldom: Mistake = (storage) => {
  let lookedAt = -Infinity
  return {
    ...storage,
    runs: {
      ...storage.runs,
      openGates: (limit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (now - lookedAt < everyMillis) return Effect.succeed([])
          lookedAt = now
          return storage.runs.openGates(limit)
        }),
    },
  }
}

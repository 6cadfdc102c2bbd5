/** Planted: whoever renews a lease that is over is told that all is well. */
import { Effect } from "effect"
import type { Plant } from "../World.ts"

export const termOutlived: NonNullable<Plant["lock"]> = (lock) => ({
  ...lock,
  renew: (lease, ttl) => Effect.catchTag(lock.renew(lease, ttl), "LeaseLost", () => Effect.void),
})

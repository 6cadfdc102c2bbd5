/** Planted: an executor does not count how many runs of a task it has in hand. */
import type { Plant } from "../World.ts"

export const placesForgotten: NonNullable<Plant["executor"]> = (executor) => ({
  ...executor,
  register: (handler) => {
    const { blocking: _, blockingScope, ...policy } = handler.policy
    return executor.register(blockingScope === "executor" ? { ...handler, policy } : handler)
  },
})

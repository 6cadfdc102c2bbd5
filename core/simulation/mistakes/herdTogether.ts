/** Planted: an executor adds nothing to the delays of what it tries again. */
import type { Plant } from "../World.ts"

export const herdTogether: NonNullable<Plant["executor"]> = (executor) => ({
  ...executor,
  register: (handler) => {
    const { policy } = handler
    const retry = { ...policy.retry, jitter: 0 }
    return executor.register({ ...handler, policy: { ...policy, retry } })
  },
})

/** Planted: an executor does not look how long its runs take. */
import type { Plant } from "../World.ts"

export const timeoutForgotten: NonNullable<Plant["executor"]> = (executor) => ({
  ...executor,
  register: (handler) => {
    const { timeoutMillis: _, ...policy } = handler.policy
    return executor.register({ ...handler, policy })
  },
})

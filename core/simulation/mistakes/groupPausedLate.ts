/** Planted: a pause of a group is acknowledged before it holds. */
import { Effect } from "effect"
import { asNew } from "../../domain/Group.ts"
import type { Mistake } from "../World.ts"

export const groupPausedLate: Mistake = (storage) => {
  const { permits } = storage
  return {
    ...storage,
    permits: {
      ...permits,
      orderGroup: (namespace, group, isPaused) => {
        const order = permits.orderGroup(namespace, group, isPaused)
        return isPaused
          ? Effect.as(Effect.forkDetach(Effect.delay(order, "1500 millis")), asNew)
          : order
      },
    },
  }
}

/** Planted: a breaker that is open lets through who asks. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const breakerIgnored: Mistake = (storage) => ({
  ...storage,
  permits: {
    ...storage.permits,
    take: (regulation, wanted) =>
      Effect.map(storage.permits.take(regulation, wanted), (permit) => ({
        ...permit,
        count: regulation.breaker === undefined ? permit.count : wanted,
      })),
  },
})

/** Planted: what a lost executor held stays with it. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const heldForEver: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    recover: () => Effect.succeed({ lost: [], runs: [], freed: [] }),
  },
})

/** Planted: what a silent executor has left to be said of its runs nobody says. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const silentForever: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    endOverdue: () => Effect.succeed({ reports: [], freed: [], nextInMillis: undefined }),
  },
})

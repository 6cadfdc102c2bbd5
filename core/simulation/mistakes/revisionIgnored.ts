/** Planted: who changes a run changes also what somebody else has changed meanwhile. */
import type { Mistake } from "../World.ts"

export const revisionIgnored: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    change: (run, change) => storage.runs.change(run, { ...change, revision: undefined }),
  },
})

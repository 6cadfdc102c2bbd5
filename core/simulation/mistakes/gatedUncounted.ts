/** Planted: of a task with a backlog those are counted that are ready, and not those at its gates. */
import type { Mistake } from "../World.ts"

export const gatedUncounted: Mistake = (storage) => ({
  ...storage,
  runs: { ...storage.runs, backlog: storage.runs.depth },
})

/** Planted: what was granted, and nobody heard of it, is neither granted again nor given back. */
import type { Mistake } from "../../World.ts"

export const answerForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    claim: (request) => storage.runs.claim({ ...request, isAgain: false }),
    reconcile: (incarnation, known) =>
      storage.runs.reconcile(incarnation, { ...known, rounds: [] }),
  },
})

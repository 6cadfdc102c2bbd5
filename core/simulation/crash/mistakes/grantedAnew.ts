/**
 * Planted: who asks again what it was granted, as no answer came, is not told: that is given back only when
 * the next beat finds it unknown.
 */
import type { Mistake } from "../../World.ts"

export const grantedAnew: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    claim: (request) => storage.runs.claim({ ...request, isAgain: false }),
  },
})

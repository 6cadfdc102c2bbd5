/** Planted: nobody keeps by when a run must have begun. */
import type { Mistake } from "../World.ts"

export const deadlineForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) =>
      storage.runs.submit(specs.map((spec) => ({ ...spec, deadlineMillis: undefined }))),
  },
})

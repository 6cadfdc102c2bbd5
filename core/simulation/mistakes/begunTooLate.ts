/** Planted: an executor begins what it was granted without asking whether it still may. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const begunTooLate: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    start: (incarnation, marks) =>
      Effect.map(storage.runs.start(incarnation, marks), (answers) => answers.map(() => true)),
  },
})

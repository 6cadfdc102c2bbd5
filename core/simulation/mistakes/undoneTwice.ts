/** Planted: who asks again for a rollback that is done has it done again. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const undoneTwice: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    rollback: (run, demand) =>
      Effect.suspend(() => {
        const entry = state.runs.get(run)
        if (entry?.failure?.tag === "RolledBack") entry.failure = { tag: "Error", message: "" }
        return storage.runs.rollback(run, demand)
      }),
  },
})

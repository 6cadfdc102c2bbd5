/** Planted: what was due before an edit is recorded as if there had been a pause. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const reasonsConfused: Mistake = (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    put: (definition, revision) =>
      Effect.tap(storage.triggers.put(definition, revision), ({ id }) =>
        Effect.sync(() => {
          const { records } = state.triggers.get(id)!
          const last = records.at(-1)
          if (last?.reason === "edited") records[records.length - 1] = { ...last, reason: "paused" }
        })),
  },
})

/** Planted: of those that wait at a gate the one that came last passes first. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const lastPassesFirst: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) =>
      Effect.tap(storage.runs.submit(specs), (answers) =>
        Effect.sync(() => {
          for (const { run } of answers) {
            const entry = state.runs.get(run)
            const blocked = entry?.spec.gate && state.blocked.get(entry.spec.gate.key)
            if (entry === undefined || blocked?.delete(entry) !== true) continue
            entry.turn = -run
            blocked.add(entry)
          }
        })),
  },
})

/** Planted: of those that wait in a lane the one that came last is granted first. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const lastGrantedFirst: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) =>
      Effect.tap(storage.runs.submit(specs), (answers) =>
        Effect.sync(() => {
          for (const { run } of answers) {
            const entry = state.runs.get(run)
            const ready = entry && state.ready.get(entry.lane)
            if (ready?.delete(entry!) !== true) continue
            entry!.rank = -entry!.rank
            ready.add(entry!)
          }
        })),
  },
})

/** Planted: now and then a run that is ready stands in no lane for a while. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const laneForgotten: Mistake = (storage, state) => {
  let submitted = 0
  return {
    ...storage,
    runs: {
      ...storage.runs,
      submit: (specs) =>
        Effect.tap(storage.runs.submit(specs), (answers) =>
          Effect.forEach(answers, ({ run }) => {
            const entry = state.runs.get(run)
            const ready = entry && state.ready.get(entry.lane)
            if (++submitted % 4 > 0 || ready?.delete(entry!) !== true) return Effect.void
            const back = Effect.sync(() => {
              if (entry!.state._tag === "Ready") state.moveTo(entry!, entry!.lane)
            })
            return Effect.forkDetach(Effect.delay(back, "8 seconds"))
          })),
    },
  }
}

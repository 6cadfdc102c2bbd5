/** Planted: a report on what has failed gives it another try. */
import { Effect } from "effect"
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const endedTwice: Mistake = (storage, state) => {
  const { runs } = storage
  const revive = (reports: ReadonlyArray<Report>) =>
    Effect.gen(function* () {
      const now = yield* storage.now
      for (const { run } of reports) {
        const entry = state.runs.get(run)
        const isGated = entry?.spec.gate !== undefined
        if (entry?.state._tag === "Failed") state.move(entry, { _tag: "Revive", isGated }, now)
      }
    })
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => Effect.andThen(revive(request.reports), runs.claim(request)),
      settle: (incarnation, reports) =>
        Effect.andThen(revive(reports), runs.settle(incarnation, reports)),
    },
  }
}

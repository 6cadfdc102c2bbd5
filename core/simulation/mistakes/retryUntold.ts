/** Planted: now and then a retry is carried out, and nothing is written down of it. */
import { Effect } from "effect"
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const retryUntold: Mistake = (storage, state) => {
  const { runs } = storage
  let retries = 0
  const forget = (reports: ReadonlyArray<Report>) =>
    Effect.sync(() => {
      for (const { _tag, run } of reports) {
        const { journal = [] } = state.runs.get(run) ?? {}
        if (_tag === "Retry" && journal.at(-1)?.kind === "Retried" && ++retries % 4 === 0) {
          journal.pop()
        }
      }
    })
  return {
    ...storage,
    runs: {
      ...runs,
      settle: (incarnation, reports) =>
        Effect.tap(runs.settle(incarnation, reports), () => forget(reports)),
      claim: (request) => Effect.tap(runs.claim(request), () => forget(request.reports)),
    },
  }
}

/** Planted: a report counts whatever its fence, as if it came from the present holder. */
import { Effect } from "effect"
import type { Incarnation } from "../../domain/Executor.ts"
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const noFenceCheck: Mistake = (storage, state) => {
  const { runs } = storage

  const settle = Effect.fnUntraced(
    function* (incarnation: Incarnation, reports: ReadonlyArray<Report>) {
      const answers = yield* Effect.forEach(reports, (report) => {
        const entry = state.runs.get(report.run)
        if (entry === undefined) return runs.settle(incarnation, [report])
        const forged = { ...report, fence: entry.state.fence }
        return runs.settle(entry.holder?.incarnation ?? incarnation, [forged])
      })
      return {
        settled: answers.flatMap(({ settled }) => settled),
        freed: answers.flatMap(({ freed }) => freed),
      }
    },
  )

  return {
    ...storage,
    runs: {
      ...runs,
      settle,
      claim: Effect.fnUntraced(function* (request) {
        const { freed, settled } = yield* settle(request.incarnation, request.reports)
        const claimed = yield* runs.claim({ ...request, reports: [] })
        return claimed === "Lost" ? claimed : { ...claimed, settled, freed }
      }),
    },
  }
}

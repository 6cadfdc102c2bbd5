/** Planted: now and then a success is kept without the state that it leaves. */
import { Effect } from "effect"
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const stateForgotten: Mistake = (storage) => {
  const { runs } = storage
  let kept = 0
  const forget = (reports: ReadonlyArray<Report>) =>
    reports.map((report) => {
      if (report._tag !== "Succeed" || report.kept === undefined || ++kept % 5 > 0) return report
      const { kept: _, ...rest } = report
      return rest
    })
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => runs.claim({ ...request, reports: forget(request.reports) }),
      settle: (incarnation, reports) =>
        Effect.suspend(() => runs.settle(incarnation, forget(reports))),
    },
  }
}

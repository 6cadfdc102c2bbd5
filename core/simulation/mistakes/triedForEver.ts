/** Planted: what has failed for good is tried again. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const triedForEver: Mistake = (storage) => {
  const { runs } = storage
  const again = (reports: ReadonlyArray<Report>) =>
    reports.map((report): Report =>
      report._tag === "GiveUp" ? { ...report, _tag: "Retry", delayMillis: 1200 } : report
    )
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => runs.claim({ ...request, reports: again(request.reports) }),
      settle: (incarnation, reports) => runs.settle(incarnation, again(reports)),
    },
  }
}

/** Planted: what an open breaker has postponed has lost its attempt. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const postponedAsFailed: Mistake = (storage) => {
  const { runs } = storage
  const asFailed = (reports: ReadonlyArray<Report>) =>
    reports.map((report): Report =>
      report._tag === "Postpone"
        ? { ...report, _tag: "Retry", failure: { tag: "Postponed", message: "it is open" } }
        : report
    )
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => runs.claim({ ...request, reports: asFailed(request.reports) }),
      settle: (incarnation, reports) => runs.settle(incarnation, asFailed(reports)),
    },
  }
}

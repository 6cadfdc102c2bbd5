/** Planted: what failed is due again at once. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const retriedAtOnce: Mistake = (storage) => {
  const { runs } = storage
  const atOnce = (reports: ReadonlyArray<Report>) =>
    reports.map((report) => report._tag === "Retry" ? { ...report, delayMillis: 0 } : report)
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => runs.claim({ ...request, reports: atOnce(request.reports) }),
      settle: (incarnation, reports) => runs.settle(incarnation, atOnce(reports)),
    },
  }
}

/** Planted: what is given back has lost its attempt. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const drainCounted: Mistake = (storage) => {
  const { runs } = storage
  const asFailed = (reports: ReadonlyArray<Report>) =>
    reports.map((report): Report =>
      report._tag === "Release"
        ? { ...report, _tag: "Retry", delayMillis: 0, failure: { tag: "Drained", message: "" } }
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

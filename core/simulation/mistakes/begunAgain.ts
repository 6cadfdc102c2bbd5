/** Planted: what begins at most once is given back when its executor stops. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const begunAgain: Mistake = (storage) => {
  const { runs } = storage
  const givenBack = (reports: ReadonlyArray<Report>) =>
    reports.map((report): Report =>
      report._tag === "GiveUp" && report.failure.tag === "ExecutorStopped"
        ? { _tag: "Release", run: report.run, fence: report.fence }
        : report
    )
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => runs.claim({ ...request, reports: givenBack(request.reports) }),
      settle: (incarnation, reports) => runs.settle(incarnation, givenBack(reports)),
    },
  }
}

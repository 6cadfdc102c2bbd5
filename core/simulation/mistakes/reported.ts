/** For mistakes that change what executors report: it comes with claims, and by itself. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const reported = (change: (report: Report) => Report): Mistake => (storage) => {
  const { runs } = storage
  return {
    ...storage,
    runs: {
      ...runs,
      claim: (request) => runs.claim({ ...request, reports: request.reports.map(change) }),
      settle: (incarnation, reports) => runs.settle(incarnation, reports.map(change)),
    },
  }
}

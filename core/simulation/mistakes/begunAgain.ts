/** Planted: what begins at most once is given back when its executor stops. */
import { reported } from "./reported.ts"

export const begunAgain = reported((report) =>
  report._tag === "GiveUp" && report.failure.tag === "ExecutorStopped"
    ? { _tag: "Release", run: report.run, fence: report.fence }
    : report
)

/** Planted: what an open breaker has postponed has lost its attempt. */
import { reported } from "./reported.ts"

export const postponedAsFailed = reported((report) =>
  report._tag === "Postpone"
    ? { ...report, _tag: "Retry", failure: { tag: "Postponed", message: "it is open" } }
    : report
)

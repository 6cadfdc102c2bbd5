/** Planted: what has failed for good is tried again. */
import { reported } from "./reported.ts"

export const triedForEver = reported((report) =>
  report._tag === "GiveUp" ? { ...report, _tag: "Retry", delayMillis: 1200 } : report
)

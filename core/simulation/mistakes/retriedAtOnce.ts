/** Planted: what failed is due again at once. */
import { reported } from "./reported.ts"

export const retriedAtOnce = reported((report) =>
  report._tag === "Retry" ? { ...report, delayMillis: 0 } : report
)

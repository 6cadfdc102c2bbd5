/** Planted: what is given back has lost its attempt. */
import { reported } from "./reported.ts"

export const drainCounted = reported((report) =>
  report._tag === "Release"
    ? { ...report, _tag: "Retry", delayMillis: 0, failure: { tag: "Drained", message: "" } }
    : report
)

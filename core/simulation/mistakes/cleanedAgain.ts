/** Planted: now and then a run that is to end as a notice says is given back when that is reported. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"
import { reported } from "./reported.ts"

export const cleanedAgain: Mistake = (storage, state) => {
  let ended = 0
  return reported((report: Report) => {
    const { fence, run } = report
    const entry = state.runs.get(run)
    const isIt = report._tag === "Succeed" && entry?.isNotified === true &&
      entry.conclusion !== undefined
    return isIt && ++ended % 3 === 0 ? { _tag: "Release", run, fence } : report
  })(storage, state)
}

/** Planted: what came late is written down as if it had counted. */
import type { Report } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const lateReportTold: Mistake = (storage, state) => {
  const note = state.note.bind(state)
  state.note = (entry, kind, now, detail, ...more) => {
    const isRetry = detail?.startsWith("Retry" satisfies Report["_tag"]) === true
    note(entry, kind === "LateReport" && isRetry ? "Retried" : kind, now, detail, ...more)
  }
  return storage
}

/** What actors remember from one message to the next. */
import { counted, keyIn } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"

/**
 * Each message that has succeeded saw the state which the one before it left for the key, and its own was
 * kept with its success; so what is kept in the end is of the last one.
 */
export const R19: Checker = ({ kept: { runs, states }, ledger }, that) => {
  const present = new Map<string, number | undefined>()
  const read = new Map<string, number>()
  for (const entry of ledger.entries) {
    if (entry.kind === "read") read.set(`${entry.run} ${entry.fence}`, entry.state)
    if (entry.kind !== "settled" || entry.answer !== "applied") continue
    const { fence, report, run } = entry
    const view = runs.get(run)
    if (report !== "Succeed" || view?.task !== "counter") continue
    const key = keyIn(view)
    const [before, seen] = [present.get(key) ?? 0, read.get(`${run} ${fence}`)]
    that(
      seen === before,
      () => `run ${run} saw ${seen} as the state of ${key}, which was ${before}`,
    )
    present.set(key, counted(before))
  }
  for (const [key, state] of present) {
    const last = states.get(key)
    that(
      last === (state === undefined ? undefined : JSON.stringify(state)),
      () => `the state of ${key} is ${last}, and the last one left ${state}`,
    )
  }
}

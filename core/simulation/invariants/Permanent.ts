/** Triggers of which one run is always alive. */
import { millis } from "../Kept.ts"
import { always } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"

/** So soon after it is due the next run is there when all is well: somebody looks once a second. */
const soonMillis = 2500
/** Each instant may have been rounded. */
const rounding = 3

/**
 * No two runs of a permanent trigger are alive at once. When one has ended there is another, not before the
 * delay, which grows with each that ended soon, and not long after it when all is well; none while
 * the trigger is paused or is no more.
 */
export const T15: Checker = ({ calmFrom, clock, endedAt, kept, ledger, permanent }, that) => {
  for (const trigger of permanent) {
    const runs = [...kept.runs.values()].filter((run) => run.trigger === trigger)
    /** Since when it is to be alive, or not. */
    const turns: Array<{ readonly at: number; readonly isOn: boolean }> = []
    let [isThere, isPaused] = [false, false]
    for (const entry of ledger.entries) {
      if (entry.kind !== "turned" && entry.kind !== "removed" && entry.kind !== "paused") continue
      if (entry.trigger !== trigger) continue
      if (entry.kind === "turned") isThere = true
      else if (entry.kind === "removed") [isThere, isPaused] = [false, false]
      else isPaused = entry.isPaused
      const isOn = isThere && !isPaused
      if (turns.at(-1)?.isOn !== isOn) turns.push({ at: entry.at, isOn })
    }
    const isOnAt = (at: number) =>
      turns.findLast((turn) => turn.at < at)?.isOn === true ||
      turns.some((turn) => turn.at === at)

    /** How many in a row have ended soon, if that is known. */
    let soon: number | undefined = 0
    for (const [nth, run] of runs.entries()) {
      const made = millis(run.createdAt)
      that(isOnAt(made), () => `run ${run.id} was made while ${trigger} was not to be alive`)
      const ended = run.finishedAt === undefined ? Infinity : millis(run.finishedAt)
      const next = runs[nth + 1]
      const until = next === undefined ? endedAt : millis(next.createdAt)
      if (next !== undefined) {
        that(
          ended <= until,
          () => `run ${next.id} of ${trigger} was made while run ${run.id} was alive`,
        )
      }
      if (ended === Infinity) continue
      const isSteady = clock.isSteady(made, until)
      const lived = run.claimedAt === undefined ? 0 : clock.said(ended) - millis(run.claimedAt)
      if (!isSteady || Math.abs(lived - always.steadyMillis) <= rounding) soon = undefined
      else if (lived > always.steadyMillis) soon = 0
      else if (soon !== undefined) soon++
      if (!isSteady) continue
      const delay = Math.min(
        always.delayMaxMillis,
        always.delayMillis * always.growth ** Math.max(0, (soon ?? 0) - 1),
      )
      if (next !== undefined) {
        that(
          until - ended >= delay - rounding,
          () => `run ${next.id} was made ${until - ended} ms after run ${run.id}, and not ${delay}`,
        )
      }
      // Whoever turns it in between has it begin anew.
      if (turns.findLast((turn) => turn.at <= ended)?.isOn !== true) continue
      const end = Math.min(until, turns.find(({ at }) => at > ended)?.at ?? Infinity)
      const due = Math.max(ended + (soon === undefined ? always.delayMaxMillis : delay), calmFrom)
      that(
        end - due <= soonMillis,
        () => `${trigger} had no run for ${end - ended} ms after run ${run.id}`,
      )
    }
  }
}

/** What was ordered holds from its acknowledgement on. */
import { askedOf, millis } from "../Kept.ts"
import type { Checker } from "./Invariant.ts"

/**
 * From the acknowledgement of a pause on no slot makes a run. What was cancelled or put down is not
 * granted any more, until somebody lets it go on, and what was asked to stop has its last grant.
 */
export const I16: Checker = ({ kept, ledger, pauses }, that) => {
  const { runs } = kept
  const byHand = askedOf(kept)
  const removed = ledger.of("removed")
  const goesOn = ledger.of("paused").filter(({ isPaused }) => !isPaused)
  for (const { from, to: until, trigger } of pauses) {
    // One that is put again is not paused.
    const ends = [...removed, ...goesOn].filter((each) =>
      each.trigger === trigger && each.at >= from
    )
    const to = Math.min(until, ...ends.map(({ at }) => at))
    const made = [...runs.values()].filter((run) =>
      run.trigger === trigger && !byHand.has(run.id) && from < millis(run.createdAt) &&
      millis(run.createdAt) < to
    )
    that(made.length === 0, () => `${made.length} runs were made while ${trigger} was paused`)
  }
  // Nobody holds a parent: it is its children who are asked.
  const parents = new Set(runs.values().map(({ shard }) => shard?.parent))
  const granted = Map.groupBy(ledger.of("granted"), ({ run }) => run)
  const fences = (run: number, from: number, to: number) =>
    new Set(
      (granted.get(run as never) ?? []).filter(({ at }) => from < at && at < to)
        .map(({ fence }) => fence),
    )
  const orders = ledger.of("ordered")
  for (const { answer, at, order, run } of orders) {
    if (answer === "sent" || (order !== "cancel" && order !== "suspend")) continue
    const undone = order === "cancel" ? "revive" : "resume"
    const until = Math.min(
      ...orders.filter((other) => other.run === run && other.order === undone)
        .map(({ sentAt }) => sentAt),
      Infinity,
    )
    const isHeld = answer === "requested" &&
      granted.get(run)?.some((each) => each.at <= at) === true
    const before = new Set(
      (granted.get(run) ?? []).filter((each) => each.at <= at).map(({ fence }) => fence),
    )
    const after = fences(run, at, until).difference(before)
    that(
      after.size === 0,
      () => `run ${run} was granted ${after.size} times after its ${order} was ${answer}`,
    )
    if (answer === "requested" && !parents.has(run)) {
      that(isHeld, () => `run ${run} was asked to stop, held by nobody`)
    }
  }
}

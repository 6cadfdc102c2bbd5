/** What was ordered holds from its acknowledgement on. */
import { askedOf, millis } from "../Kept.ts"
import { rounding } from "../SetClock.ts"
import { policyOf } from "../tasks.ts"
import { ttlMillis } from "../times.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Checker } from "./Invariant.ts"
import { handedOver } from "./Loans.ts"
import { firstGrants, tenuresOf } from "./tenures.ts"

/**
 * From the acknowledgement of a pause on no slot makes a run. What was cancelled or put down is not
 * granted any more, until somebody lets it go on, and what was asked to stop has its last grant.
 */
export const I16: Checker = (outcome, that) => {
  const { kept, ledger, pauses } = outcome
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
      run.trigger === trigger && !byHand.has(run.id) && from < millis(run.createdAt) - rounding &&
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
  const isHandedOver = handedOver(outcome)
  for (const { answer, at, order, run, sentAt } of orders) {
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
    // What was handed over is granted once more for its hooks (R43), whatever was asked of it since.
    if (isHandedOver(run, sentAt, order === "cancel" ? at : until) && answer === "requested") {
      continue
    }
    const after = fences(run, at, until).difference(before)
    that(
      after.size === 0,
      () => `run ${run} was granted ${after.size} times after its ${order} was ${answer}`,
    )
    if (answer === "requested" && !parents.has(run)) {
      that(isHeld, () => `run ${run} was asked to stop, held by nobody`)
    }
  }
  groupsHold(outcome, that)
  stopsSoon(outcome, that)
}

/** As executors have it here. */
const stopMillis = 750
/** They hear of it at once, or by their next beat; then they stop it, and say so. */
const withinMillis = ttlMillis / 4 + stopMillis + 250

/** Whoever is asked to stop a run, and is well, has heard of it and stopped it soon. */
const stopsSoon: Checker = (outcome, that) => {
  const { clock, endedAt, faults, ledger } = outcome
  const isWell = (name: string, from: number, to: number) =>
    !faults.some(({ from: begin, process, until }) =>
      process === name && begin <= to && until + ttlMillis >= from
    )
  const started = new Map(ledger.of("started").map((each) => [`${each.run} ${each.fence}`, each]))
  const tenures = tenuresOf(outcome)
  const isHandedOver = handedOver(outcome)
  const asked = ledger.of("ordered").filter(({ answer, order }) =>
    answer === "requested" && order === "cancel"
  )
  for (const { at, run, sentAt } of asked) {
    // Its hooks are left, or go on: there is nothing to stop.
    if (isHandedOver(run, sentAt, at)) continue
    const tenure = tenures.get(run)?.find(({ from, to }) => from <= at && at < to)
    const holder = started.get(`${run} ${tenure?.fence}`)?.process.split(".")[0]
    const by = at + withinMillis
    if (tenure === undefined || holder === undefined || by > endedAt) continue
    if (!isWell(holder, at, by) || !clock.isSteady(at, by)) continue
    that(
      tenure.to <= by,
      () => `run ${run} was asked to stop, and was held for ${tenure.to - at} ms more`,
    )
  }
}
/**
 * While a group is paused no run of its tasks is granted; and when all were cancelled that were there, none
 * of them is granted any more, unless somebody lets it go on.
 */
const groupsHold: Checker = ({ kept: { runs }, ledger }, that) => {
  const groupOf = (run: RunId) => policyOf(runs.get(run)!.task).group?.name
  const paused = new Map<string, number>()
  const seen = new Set<string>()
  for (const entry of ledger.entries) {
    if (entry.kind === "grouped") {
      if (!entry.isPaused) paused.delete(entry.group)
      else if (!paused.has(entry.group)) paused.set(entry.group, entry.at)
    } else if (entry.kind === "granted") {
      const { at, fence, run } = entry
      const group = groupOf(run)
      // A round that is sent again hands out the same grant.
      const isAgain = seen.has(`${run} ${fence}`)
      seen.add(`${run} ${fence}`)
      if (group === undefined || isAgain) continue
      const since = paused.get(group) ?? Infinity
      that(at <= since, () => `run ${run} was granted, and ${group} was paused at ${since}`)
    }
  }
  const granted = Map.groupBy(firstGrants(ledger), ({ run }) => run)
  const orders = ledger.of("ordered")
  for (const { at, group, sentAt } of ledger.of("disbanded")) {
    for (const { createdAt, id } of runs.values()) {
      if (groupOf(id) !== group || millis(createdAt) >= sentAt) continue
      if (orders.some(({ order, run }) => run === id && order !== "cancel")) continue
      that(
        !granted.get(id)?.some((grant) => grant.at > at),
        () => `run ${id} was granted after all of ${group} were cancelled`,
      )
    }
  }
}

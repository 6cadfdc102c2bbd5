/** Runs that are due later than they were made. */
import type { RunId } from "../../domain/RunId.ts"
import { millis, requestOf } from "../Kept.ts"
import type { Outcome } from "../Outcome.ts"
import type { Checker } from "./Invariant.ts"
import { firstOf } from "./levels.ts"

/** A storage may keep whole milliseconds. */
const rounding = 2

/** By so much each is due later: those that were submitted so, those of slots, and those of what is filled in. */
export const delaysOf = ({ kept: { runs }, ledger }: Outcome): ReadonlyMap<RunId, number> => {
  const sent = new Map(
    ledger.of("sent").map(({ delayMillis, request }) => [request, delayMillis]),
  )
  const asked = ledger.of("asked").filter(({ answer }) => answer === "Fired")
  const fired = new Map<RunId | undefined, number>(
    [...ledger.of("fired"), ...asked].map(({ delayMillis, run }) => [run, delayMillis]),
  )
  return new Map(
    [...runs.values()].map((view) => [
      view.id,
      // Those that a run is cut into come when that is due.
      view.shard !== undefined
        ? 0
        : (view.trigger === undefined ? sent.get(requestOf(view)) : fired.get(view.id)) ?? 0,
    ]),
  )
}

/** What is due later is not granted before, nor cut into parts, unless somebody has it go on. */
export const R9: Checker = (outcome, that) => {
  const { clock, kept: { runs }, ledger } = outcome
  const resumed = new Set(
    ledger.of("ordered").filter(({ order }) => order === "resume").map(({ run }) => run),
  )
  const granted = firstOf(ledger, "granted")
  const parts = Map.groupBy(runs.values(), ({ shard }) => shard?.parent)
  for (const [run, delayMillis] of delaysOf(outcome)) {
    const begins = [
      granted.get(run)?.at ?? [],
      ...(parts.get(run) ?? []).map(({ createdAt }) => millis(createdAt)),
    ].flat()
    if (delayMillis === 0 || begins.length === 0 || resumed.has(run)) continue
    const made = millis(runs.get(run)!.createdAt)
    const early = clock.said(made) + delayMillis - clock.latest(made, Math.min(...begins))
    that(early <= rounding, () => `run ${run} was granted ${early} ms before it was due`)
  }
}

/** Whose clock counts. */
import { millis } from "../Kept.ts"
import type { Checker } from "./Invariant.ts"
import { leftAt } from "./tenures.ts"

/**
 * What is kept of an instant is by the storage's clock, although those of the processes are hours
 * apart; and who beats in time keeps its lease, even when that clock is set.
 */
export const I22: Checker = ({ kept: { runs }, ledger }, that) => {
  const leases = new Map<number, { readonly at: number; readonly ttlMillis: number }>()
  const left = leftAt(ledger)
  for (const { at, incarnation, isAlive, ttlMillis } of ledger.of("beat")) {
    if ((left.get(incarnation) ?? Infinity) <= at) continue
    const lease = leases.get(incarnation) ?? { at, ttlMillis: ttlMillis! }
    that(
      isAlive || at - lease.at >= lease.ttlMillis - 1,
      () => `executor ${incarnation} was lost ${at - lease.at} ms after it had beaten`,
    )
    if (isAlive) leases.set(incarnation, { ...lease, at })
  }
  const sent = new Map<string, number>()
  for (const { at, request } of ledger.of("sent")) {
    if (!sent.has(request)) sent.set(request, at)
  }
  for (const { at, request, run } of ledger.of("acknowledged")) {
    const view = runs.get(run)
    if (view === undefined) continue
    const made = millis(view.createdAt)
    that(
      sent.get(request)! <= made && made <= at,
      () =>
        `run ${run} was made at ${made}, asked for at ${sent.get(request)}, and told of at ${at}`,
    )
  }
  const settled = Map.groupBy(
    ledger.of("settled").filter(({ answer }) => answer === "applied"),
    ({ run }) => run,
  )
  for (const { finishedAt, id, state } of runs.values()) {
    const last = settled.get(id)?.at(-1)
    if (state !== "Succeeded" || last?.report !== "Succeed" || finishedAt === undefined) continue
    that(
      Math.abs(millis(finishedAt) - last.at) <= 1,
      () => `run ${id} ended at ${millis(finishedAt)}, by a report of ${last.at}`,
    )
  }
}

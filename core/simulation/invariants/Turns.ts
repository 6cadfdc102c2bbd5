/** Who goes first. */
import * as Lane from "../../domain/Lane.ts"
import { millis, requestOf } from "../Kept.ts"
import { policyOf } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"

/**
 * Of two that wait in one lane the one that comes first by level and rank is granted first, so that
 * within its patience a level is passed by better ones, and by none after that.
 */
export const I26: Checker = ({ clock, kept: { runs }, ledger }, that) => {
  const delayed = new Set(
    ledger.of("sent").filter(({ delayMillis }) => delayMillis > 0).map(({ request }) => request),
  )
  const ordered = new Set(ledger.of("ordered").map(({ run }) => run))
  const granted = new Map<number, number>()
  for (const { at, run } of ledger.of("granted")) if (!granted.has(run)) granted.set(run, at)
  const waits = [...runs.values()]
    // They are ready as soon as they are there, and nothing else decides.
    .filter((view) =>
      view.task === "plain" && policyOf(view.task).blocking === undefined &&
      !delayed.has(requestOf(view)) && !ordered.has(view.id) && granted.has(view.id)
    )
    .map(({ createdAt, id, level }) => ({
      run: id,
      level,
      rank: Lane.rank(millis(createdAt), level),
      from: millis(createdAt),
      to: granted.get(id)!,
    }))
  for (const [nth, first] of waits.entries()) {
    const order = Lane.order(first.to)
    // Instants are told in whole milliseconds, and what came within the same one may have come after.
    for (const [other, second] of waits.entries()) {
      if (other === nth || second.from >= first.to - 1 || second.to <= first.to) continue
      // Who came first is told by the clock, as of then.
      if (!clock.isSteady(Math.min(first.from, second.from), first.to)) continue
      that(
        order(first, second) < 0,
        () => `run ${first.run} was granted before run ${second.run}, whose turn it was`,
      )
    }
  }
}

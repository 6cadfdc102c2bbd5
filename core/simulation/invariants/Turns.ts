/** Who goes first. */
import * as Lane from "../../domain/Lane.ts"
import { isDueAtOnce, millis, requestOf } from "../Kept.ts"
import { policyOf } from "../tasks.ts"
import { deadlinesOf } from "./mustBegin.ts"
import type { Checker } from "./Invariant.ts"
import { firstOf, levelsOf } from "./levels.ts"

/**
 * Of two that wait in one lane the one that comes first by level and rank is granted first, so that
 * within its patience a level is passed by better ones, and by none after that. Both are as they were
 * changed until then, and a deadline counts.
 */
export const I26: Checker = (outcome, that) => {
  const { clock, kept: { runs }, ledger } = outcome
  const delayed = new Set(
    ledger.of("sent").filter(({ delayMillis }) => delayMillis > 0).map(({ request }) => request),
  )
  const ordered = new Set(ledger.of("ordered").map(({ run }) => run))
  const granted = firstOf(ledger, "granted")
  const levelOf = levelsOf(ledger)
  const deadlineOf = deadlinesOf(outcome)
  const waits = [...runs.values()]
    // They are ready as soon as they are there, and nothing else decides.
    .filter((view) =>
      view.task === "plain" && policyOf(view.task).blocking === undefined &&
      !delayed.has(requestOf(view)) && isDueAtOnce(view) && !ordered.has(view.id) &&
      granted.has(view.id)
    )
    .map((view) => ({
      run: view.id,
      view,
      from: millis(view.createdAt),
      to: granted.get(view.id)!.at,
      nth: granted.get(view.id)!.nth,
    }))
  for (const [nth, first] of waits.entries()) {
    const order = Lane.order(first.to)
    const ahead = clock.said(first.to) - first.to
    const placeOf = ({ from, run, view }: typeof first) => {
      const level = levelOf(view, first.nth)
      return { run, level, rank: Lane.rank(from, level, deadlineOf(run, first.nth) - ahead) }
    }
    // Instants are told in whole milliseconds, and what came within the same one may have come after.
    for (const [other, second] of waits.entries()) {
      if (other === nth || second.from >= first.to - 1 || second.to <= first.to) continue
      // Who came first is told by the clock, as of then.
      if (!clock.isSteady(Math.min(first.from, second.from), first.to)) continue
      that(
        order(placeOf(first), placeOf(second)) < 0,
        () => `run ${first.run} was granted before run ${second.run}, whose turn it was`,
      )
    }
  }
}

/** What there is no room for is refused, and not lost. */
import { isDueAtOnce, millis, requestOf, wholes } from "../Kept.ts"
import { policyOf } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"

/** Longer than a submit can take from where it looks at the backlog to where it is kept. */
const behindMillis = 4000

/**
 * What was refused for want of room has left no run, and what was taken in found room: as many as
 * there may be had not been waiting for long.
 */
export const I23: Checker = ({ kept, ledger }, that) => {
  const made = new Set(wholes(kept).map(requestOf))
  const sent = Map.groupBy(ledger.of("sent"), ({ request }) => request)
  const refused = Map.groupBy(
    ledger.of("refused").filter(({ why }) => why === "BacklogFull"),
    ({ request }) => request,
  )
  for (const [request, all] of refused) {
    if (all.length < sent.get(request)!.length) continue
    that(!made.has(request), () => `${request} was refused, and made a run`)
  }
  const granted = new Map<number, number>()
  for (const { at, run } of ledger.of("granted")) if (!granted.has(run)) granted.set(run, at)
  // What is due later waits once somebody has seen that it is due.
  const ready = new Map<number, number>()
  for (const { at, run, to } of ledger.of("moved")) {
    if (to === "Ready" && !ready.has(run)) ready.set(run, at)
  }
  const waits = wholes(kept).filter(({ task }) => policyOf(task).backlog !== undefined)
    .map((view) => ({
      view,
      from: isDueAtOnce(view) ? millis(view.createdAt) : ready.get(view.id) ?? Infinity,
      // What was cancelled, or came too late, waits no more either.
      to: granted.get(view.id) ??
        (view.finishedAt === undefined ? Infinity : millis(view.finishedAt)),
    }))
  for (const { view } of waits) {
    const at = millis(view.createdAt)
    const waiting = waits.filter(({ from, to }) => from < at - behindMillis && to > at)
    that(
      waiting.length < policyOf(view.task).backlog!.high,
      () => `run ${view.id} was taken in while ${waiting.length} had long been waiting`,
    )
  }
}

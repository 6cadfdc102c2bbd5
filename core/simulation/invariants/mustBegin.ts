/** By when each run must have begun, as it was submitted and changed; nothing of it is asked of the product. */
import type { RunId } from "../../domain/RunId.ts"
import { millis, requestOf } from "../Kept.ts"
import type { Outcome } from "../Outcome.ts"
import { policyOf } from "../tasks.ts"

/** The deadline of each run that was submitted with one, by the clock of the storage. */
export const submittedDeadlines = (
  { clock, kept: { runs }, ledger }: Outcome,
): ReadonlyMap<RunId, number> => {
  const sent = new Map(ledger.of("sent").map((each) => [each.request, each]))
  const deadlines = new Map<RunId, number>()
  for (const view of runs.values()) {
    const { createdAt, id, shard, task, trigger } = view
    if (shard !== undefined) continue
    const asked = trigger === undefined ? sent.get(requestOf(view)) : undefined
    const { deadlineMillis: ofTask } = policyOf(task)
    const after = asked?.deadlineMillis ??
      (ofTask === undefined ? undefined : ofTask + (asked?.delayMillis ?? 0))
    if (after !== undefined) deadlines.set(id, clock.said(millis(createdAt)) + after)
  }
  return deadlines
}

/** The deadline of a run when an entry was written, which is told by its place in the ledger. */
export const deadlinesOf = (outcome: Outcome) => {
  const { clock, ledger: { entries } } = outcome
  const submitted = submittedDeadlines(outcome)
  const changes = new Map<RunId, Array<{ readonly nth: number; readonly deadline: number }>>()
  for (const [nth, entry] of entries.entries()) {
    if (entry.kind !== "changed" || entry.answer !== "confirmed") continue
    const { at, deadlineMillis, run } = entry
    if (deadlineMillis === undefined) continue
    const deadline = deadlineMillis === null ? Infinity : clock.said(at) + deadlineMillis
    changes.set(run, [...changes.get(run) ?? [], { nth, deadline }])
  }
  return (run: RunId, at: number): number =>
    changes.get(run)?.findLast(({ nth }) => nth < at)?.deadline ?? submitted.get(run) ?? Infinity
}

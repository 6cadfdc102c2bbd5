/**
 * One grant of a run: the smallest unit of execution. A run that is tried again, given back or lost
 * has several; each has an id of its own, its times, how it ended, and the lines that it said.
 *
 * Executions are derived from what happened to the run, so they cost nothing while it runs.
 */
import { Schema } from "effect"
import { Holder } from "./Executor.ts"
import { Fence } from "./Lease.ts"
import { isFinal } from "./Run.ts"
import type { RunHappening, RunView } from "./RunView.ts"

export const Execution = Schema.Struct({
  /** Of run and fence, as no two grants of a run have one fence. */
  id: Schema.String,
  fence: Fence,
  attempt: Schema.Int,
  startedAt: Schema.DateTimeUtc,
  endedAt: Schema.optionalKey(Schema.DateTimeUtc),
  /**
   * `Retried`, `Released`, `Postponed`, `Lost`, `Yielded`, `Awaited`, a final state, or, where that was not
   * kept of one whose run was revived after it, `Revived`; absent while it runs.
   */
  end: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String),
  /** Who had it; absent where that was not kept yet. */
  executor: Schema.optionalKey(Holder),
})
export type Execution = typeof Execution.Type

const ends: ReadonlySet<string> = new Set([
  "Retried",
  "Released",
  "Postponed",
  "Lost",
  "Yielded",
  "Awaited",
  // Earlier versions did not keep when it had ended before that.
  "Revived",
])

/** The earliest first. */
export const of = (
  { id }: Pick<RunView, "id">,
  events: ReadonlyArray<RunHappening>,
): ReadonlyArray<Execution> => {
  const begun = new Map(
    events.filter(({ kind }) => kind === "Claimed").map((each) => [each.fence, each]),
  )
  return [...begun.values()].sort((a, b) => a.fence - b.fence).map((claim) => {
    const end = events.find(({ fence, kind }) =>
      fence === claim.fence && (ends.has(kind) || isFinal(kind))
    )
    return {
      id: `${id}.${claim.fence}`,
      fence: claim.fence,
      attempt: claim.attempt,
      startedAt: claim.at,
      ...(end !== undefined && { end: end.kind }),
      ...(end !== undefined && end.kind !== "Revived" && { endedAt: end.at }),
      ...(end?.detail !== undefined && { detail: end.detail }),
      ...(claim.executor !== undefined && { executor: claim.executor }),
    }
  })
}

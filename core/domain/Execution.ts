/**
 * One grant of a run: the smallest unit of execution. A run that is tried again, given back or lost
 * has several; each has an id of its own, its times, how it ended, and the lines that it said.
 *
 * Executions are derived from what happened to the run, so they cost nothing while it runs.
 */
import { Schema } from "effect"
import { ExecutorName, Incarnation } from "./Executor.ts"
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
   * `Retried`, `Released`, `Postponed`, `Lost`, `Yielded`, `Awaited`, a final state, or, of one whose run was revived
   * after it, `Revived`; absent while it runs.
   */
  end: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String),
  /** Of the last one. One that was lost says in its detail who had it. */
  executor: Schema.optionalKey(Schema.Struct({ incarnation: Incarnation, name: ExecutorName })),
})
export type Execution = typeof Execution.Type

const ends: ReadonlySet<string> = new Set([
  "Retried",
  "Released",
  "Postponed",
  "Lost",
  "Yielded",
  "Awaited",
  // When it had ended before that is not told any more.
  "Revived",
])

/** The earliest first. */
export const of = (
  { executor, fence, id }: Pick<RunView, "executor" | "fence" | "id">,
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
      ...(claim.fence === fence && executor !== undefined && { executor }),
    }
  })
}

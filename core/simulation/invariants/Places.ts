/** Where a run may go. */
import { matches, type Selector } from "../../domain/Selector.ts"
import { policyOf } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"
import { attemptEnds } from "./tenures.ts"

/**
 * A run is granted to an executor that serves its task, has the labels it asks for, and is the one it
 * was placed with; and it starts where there is a place.
 */
export const I25: Checker = (outcome, that) => {
  const { kept: { executors, runs }, ledger } = outcome
  const byIncarnation = new Map(executors.map((view) => [view.incarnation as number, view]))
  // Of those who are there all serve the same.
  const servedByAll = Math.max(...executors.map(({ tasks }) => tasks.length), 0)
  for (const { incarnation, placedWith, run } of ledger.of("granted")) {
    const task = runs.get(run)?.task
    const executor = byIncarnation.get(incarnation)
    if (task === undefined || executor === undefined) continue
    const { selector } = policyOf(task)
    that(
      placedWith === undefined || placedWith === incarnation,
      () => `run ${run} was placed with ${placedWith} and granted to ${incarnation}`,
    )
    that(
      // One that was lost before it could say all that it serves has said less.
      executor.tasks.length < servedByAll || executor.tasks.includes(task),
      () => `run ${run} was granted to ${executor.name}, who does not serve ${task}`,
    )
    that(
      selector === undefined || matches(selector as Selector, executor.labels),
      () => `run ${run} was granted to ${executor.name}, who has other labels`,
    )
  }
  const ends = attemptEnds(outcome)
  const most = Math.max(...executors.map(({ capacity }) => capacity), 0)
  for (const [process, started] of Map.groupBy(ledger.of("started"), ({ process }) => process)) {
    for (const { at, fence, run } of started) {
      const beside = started.filter((other) =>
        other.at <= at && at < (ends.get(`${other.run} ${other.fence}`) ?? Infinity)
      )
      that(
        beside.length <= most || !beside.some((each) => each.run === run && each.fence === fence),
        () => `${beside.length} runs went on at once in ${process}, which has ${most} places`,
      )
    }
  }
}

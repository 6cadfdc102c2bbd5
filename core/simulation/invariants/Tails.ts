/** What triggers tail. */
import { requestOf } from "../Kept.ts"
import type { Checker } from "./Invariant.ts"

/**
 * Each row that is there has made one run, or was recorded with why not, or was not wanted; in their
 * order, and what was never there has made none.
 */
export const T16: Checker = ({ kept, tailed }, that) => {
  for (const { rows, trigger } of tailed) {
    const made = Map.groupBy(
      [...kept.runs.values()].filter((run) => run.trigger === trigger),
      requestOf,
    )
    const records = Map.groupBy(
      kept.triggers.find(({ name }) => name === trigger)!.records,
      ({ entry }) => entry!,
    )
    let last = 0
    for (const { fate, position, request } of rows) {
      const runs = made.get(request) ?? []
      const recorded = records.get(position) ?? []
      made.delete(request)
      records.delete(position)
      that(
        runs.length === (fate === "fires" ? 1 : 0),
        () => `${trigger} has made ${runs.length} runs of row ${position}, which ${fate}`,
      )
      const outcomes = recorded.map(({ outcome, run }) => `${outcome} ${run}`)
      const expected = fate === "fires"
        ? [`fired ${runs[0]?.id}`]
        : fate === "flawed"
        ? ["skipped undefined"]
        : []
      that(
        outcomes.join() === expected.join(),
        () => `${trigger} has recorded of row ${position}, which ${fate}: ${outcomes.join()}`,
      )
      for (const { id } of runs) {
        that(id > last, () => `${trigger} has made the run of row ${position} out of order`)
        last = id
      }
    }
    that(
      made.size + records.size === 0,
      () => `${trigger} has made something of ${[...made.keys(), ...records.keys()].join(", ")}`,
    )
  }
}

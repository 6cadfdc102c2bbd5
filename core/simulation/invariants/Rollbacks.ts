/** What is undone on demand. */
import * as Run from "../../domain/Run.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Checker } from "./Invariant.ts"

/**
 * A rollback that was confirmed is carried out, of what had been granted and has ended: under grants of its
 * own, until it is done, and then never again, however often it is asked for. The run ends as failed, with
 * what became of it.
 */
export const R37: Checker = ({ kept: { runs }, ledger }, that) => {
  /** The last grant of each. */
  const granted = new Map<RunId, { readonly at: number; readonly fence: number }>()
  const phase = new Map<RunId, "asked" | "done" | "failed">()
  /** The grants under which a run is rolled back. */
  const grants = new Set<string>()
  for (const entry of ledger.entries) {
    if (entry.kind === "granted") {
      const { at, fence, run } = entry
      granted.set(run, { at, fence })
      if (phase.get(run) === "asked") grants.add(`${run} ${fence}`)
      const present = phase.get(run)
      if (present === undefined) continue
      that(
        present === "asked" || grants.has(`${run} ${fence}`),
        () => `run ${run} was granted although its rollback was ${present}`,
      )
    } else if (entry.kind === "rolledBack") {
      const { answer, run, state, tag } = entry
      if (answer !== "confirmed") continue
      const before = phase.get(run)
      that(
        granted.has(run) && (Run.isFinal(state) || before === "asked"),
        () => `run ${run} is to be rolled back, and was ${state}`,
      )
      if (Run.isFinal(state) && tag !== "RolledBack") {
        phase.set(run, "asked")
        // Whoever waits for work may have it, and that be written down, before the answer is.
        const last = granted.get(run)
        if (last?.at === entry.at) grants.add(`${run} ${last.fence}`)
      } else that(before !== undefined, () => `run ${run} is said to be rolled back, nobody asked`)
    } else if (entry.kind === "undoing") {
      const { fence, run } = entry
      that(
        grants.delete(`${run} ${fence}`),
        () => `run ${run} was rolled back under fence ${fence}, which was not granted for that`,
      )
    } else if (entry.kind === "settled" && entry.answer === "applied") {
      const { rollback, run } = entry
      if (rollback === undefined || phase.get(run) !== "asked") continue
      phase.set(run, rollback === "RolledBack" ? "done" : "failed")
    }
  }
  const undone = new Set(ledger.of("undone").map(({ run }) => run))
  for (const [run, last] of phase) {
    const { failure, state } = runs.get(run)!
    const isDone = last === "done"
    that(
      state === "Failed" && failure?.tag === (isDone ? "RolledBack" : "RollbackFailed"),
      () => `run ${run} was to be rolled back, and is ${state}: ${failure?.tag}`,
    )
    that(
      !isDone || undone.has(run),
      () => `run ${run} is said to be rolled back, and nobody has undone it`,
    )
  }
}

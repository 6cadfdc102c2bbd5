/** Who holds a run, and whose word counts. */
import type { RunId } from "../../domain/RunId.ts"
import type { Checker } from "./Invariant.ts"
import { tenuresOf } from "./tenures.ts"

/** A run has at most one live grant, and user code starts only under it. */
export const I3: Checker = (outcome, that) => {
  const byRun = tenuresOf(outcome)
  for (const [run, all] of byRun) {
    const sorted = all.toSorted((a, b) => a.from - b.from)
    for (const [at, { fence, to }] of sorted.entries()) {
      const next = sorted[at + 1]
      that(
        next === undefined || next.from >= to,
        () => `run ${run} was granted with fence ${next!.fence} under live fence ${fence}`,
      )
    }
  }
  for (const { at, fence, run } of outcome.ledger.of("started")) {
    // Who begins what somebody else has ended meanwhile has not heard of that.
    const isHeld = byRun.get(run)?.some((each) =>
      each.fence === fence && each.from <= at && (at <= each.to || each.isNotified)
    )
    that(
      isHeld === true,
      () => `run ${run} was started with fence ${fence} after its grant had ended`,
    )
  }
}

/** The fence of a run, and of a lock, rises with every grant. */
export const I4: Checker = ({ ledger }, that) => {
  const last = new Map<RunId, { fence: number; incarnation: number }>()
  for (const { fence, incarnation, run } of ledger.of("granted")) {
    const before = last.get(run)
    const isRepeated = before?.fence === fence && before.incarnation === incarnation
    that(
      before === undefined || fence > before.fence || isRepeated,
      () => `run ${run} was granted with fence ${fence} after ${before!.fence}`,
    )
    last.set(run, { fence, incarnation })
  }
  const locks = new Map<string, number>()
  for (const { fence, key } of ledger.of("locked")) {
    const before = locks.get(key) ?? 0
    that(fence > before, () => `the lock ${key} was granted with fence ${fence} after ${before}`)
    locks.set(key, fence)
  }
}

/**
 * What was accepted of a run came from its holder: its reports, the marks of its starts, what was
 * concluded of it, and how far it has come. Its result is of the attempt that ended it, and each line of
 * its log of the grant that has said it.
 */
export const I5: Checker = (outcome, that) => {
  const byRun = tenuresOf(outcome)
  for (const { answer, at, fence, report, run } of outcome.ledger.of("settled")) {
    if (answer !== "applied") continue
    that(
      byRun.get(run)?.some((each) => each.fence === fence && each.to === at) === true,
      () => `${report} of run ${run} was accepted with fence ${fence}, not its own`,
    )
  }
  const handedOver = new Set<string>()
  for (const { at, concluded, fence, run, what } of outcome.ledger.of("marked")) {
    if (concluded?.phase === "handedOver") {
      // Where it comes again nothing is kept by it.
      if (handedOver.has(`${run} ${fence}`)) continue
      handedOver.add(`${run} ${fence}`)
    }
    that(
      byRun.get(run)?.some((each) => each.fence === fence && each.from <= at && at <= each.to) ===
        true,
      () => `the ${what} of run ${run} was kept with fence ${fence}, not its own`,
    )
  }
  for (const { at, fence, incarnation, run } of outcome.ledger.of("progressed")) {
    that(
      byRun.get(run)?.some((each) =>
        each.fence === fence && each.incarnation === incarnation && each.from <= at && at <= each.to
      ) === true,
      () => `the progress of run ${run} was kept with fence ${fence}, not its own`,
    )
  }
  for (const [run, { lines, progress }] of outcome.kept.words) {
    for (const { fence, text } of [...lines, ...progress === undefined ? [] : [progress]]) {
      that(
        text?.split(" ").at(-1) === String(fence),
        () => `what run ${run} has said with fence ${text} is kept with fence ${fence}`,
      )
    }
  }
  for (const { fence, id, result } of outcome.kept.runs.values()) {
    if (result === undefined) continue
    const { fence: of } = JSON.parse(result) as { fence?: number }
    if (of === undefined) continue
    that(of <= fence, () => `run ${id} ended with fence ${fence} and keeps the result of ${of}`)
  }
}

/** Who holds the duties, and that it harms nothing when several do. */
import type { Outcome } from "../Outcome.ts"
import type { Checker, That } from "./Invariant.ts"

/**
 * A term is of one process, and none begins before the last has ended. Nobody acts who has none, but for
 * a process that was held up. Of those who hold a duty at once all the same, one fires a slot, and one
 * frees a grant.
 */
export const I18: Checker = (outcome, that) => {
  const { ledger } = outcome
  terms(outcome, that)
  const fired = Map.groupBy(ledger.of("fired"), ({ slot, trigger }) => `${trigger} ${slot}`)
  for (const { slot, trigger } of ledger.of("passed")) {
    const by = fired.get(`${trigger} ${slot}`)?.length ?? 0
    that(by <= 1, () => `slot ${slot} of trigger ${trigger} was fired by ${by}`)
  }
  for (const [slot, by] of fired) {
    that(by.length === 1, () => `slot ${slot} was fired by ${by.length}`)
  }
  const freed = Map.groupBy(ledger.of("freed"), ({ fence, run }) => `${run} ${fence}`)
  for (const [grant, by] of freed) {
    that(by.length === 1, () => `the grant ${grant} was freed by ${by.length}`)
  }
}

interface Term {
  readonly fence: number
  readonly process: string
  /** Unless it is renewed. */
  ends: number
}

/** What an end may be off by, where storage keeps whole milliseconds, and where its clock was set. */
const roundingMillis = 1
const setSlackMillis = 600
/** What was sent under a term may come so long after it. */
const lateMillis = 1000
/** So long after a pause or a storm some of it may be felt: a copy that comes late, a call given up. */
const afterMillis = 5000

const terms = ({ clock, faults, ledger }: Outcome, that: That) => {
  const last = new Map<string, Term>()
  const ofProcess = new Map<string, Term>()
  const wasHeldUp = (process: string, at: number) =>
    faults.some(({ from, process: of, until }) =>
      of === process.split(".")[0] && from <= at && at <= until + afterMillis
    )
  for (const entry of ledger.entries) {
    if (entry.kind === "locked") {
      const { at, fence, key, process, ttlMillis } = entry
      const before = last.get(key)
      const slack = before !== undefined && !clock.isSteady(before.ends - ttlMillis, at)
        ? setSlackMillis
        : roundingMillis
      that(
        before === undefined || fence > before.fence && at >= before.ends - slack,
        () =>
          `the term ${fence} of ${key} is of ${process}, and term ${before!.fence} of ` +
          `${before!.process} ends ${before!.ends - at} ms later`,
      )
      const term = { fence, process, ends: at + ttlMillis }
      last.set(key, term)
      ofProcess.set(process, term)
    } else if (entry.kind === "renewed") {
      const { at, fence, key, process, ttlMillis } = entry
      const term = last.get(key)
      const isOwn = term?.fence === fence && term.process === process
      that(isOwn, () => `the term ${fence} of ${key} was renewed, and ${term?.fence} has begun`)
      if (isOwn) term.ends = at + ttlMillis
    } else if (entry.kind === "unlocked") {
      const term = last.get(entry.key)
      if (term?.fence === entry.fence) term.ends = Math.min(term.ends, entry.at)
    } else if (entry.kind === "led" && last.size > 0) {
      const { at, process, what } = entry
      const term = ofProcess.get(process)
      const since = term === undefined ? undefined : at - term.ends
      that(
        since !== undefined &&
          (since <= lateMillis || wasHeldUp(process, at)),
        () => `${process} did what is for who may ${what}, ${since} ms after its term`,
      )
    }
  }
}

/** Who held which run, from when to when. */
import type { RunId } from "../../domain/RunId.ts"
import type { Entry, Ledger } from "../Ledger.ts"
import type { Outcome } from "../Outcome.ts"

/** From each grant to its end: settled, freed, or the end of the world. */
export interface Tenure {
  readonly run: RunId
  readonly fence: number
  readonly incarnation: number
  readonly from: number
  readonly to: number
  /** Somebody else has said how the run ended, and its holder goes on until it hears of that. */
  readonly isNotified?: true
}

const known = new WeakMap<Outcome, ReadonlyMap<RunId, ReadonlyArray<Tenure>>>()

export const tenuresOf = (outcome: Outcome): ReadonlyMap<RunId, ReadonlyArray<Tenure>> => {
  const present = known.get(outcome) ??
    Map.groupBy(tenures(outcome.ledger.entries), ({ run }) => run)
  known.set(outcome, present)
  return present
}

const tenures = (entries: ReadonlyArray<Entry>): ReadonlyArray<Tenure> => {
  const open = new Map<RunId, Tenure>()
  const closed: Array<Tenure> = []
  const close = (run: RunId, to: number, how: Pick<Tenure, "isNotified"> = {}) => {
    const tenure = open.get(run)
    if (tenure !== undefined) closed.push({ ...tenure, ...how, to })
    open.delete(run)
  }
  for (const entry of endsFirst(entries)) {
    if (entry.kind === "granted") {
      const { at, fence, incarnation, run } = entry
      // A round that is sent again hands out the same grant.
      const present = open.get(run)
      if (present?.fence === fence && present.incarnation === incarnation) continue
      if (present !== undefined) closed.push({ ...present, to: Infinity })
      open.set(run, { run, fence, incarnation, from: at, to: Infinity })
    } else if (entry.kind === "settled" && entry.answer === "applied") close(entry.run, entry.at)
    else if (entry.kind === "freed") close(entry.run, entry.at)
    else if (entry.kind === "notified" && entry.answer === "applied") {
      close(entry.run, entry.at, { isNotified: true })
    } else if (entry.kind === "cancelled") {
      // What was handed over is nobody's from then on, also before its holder has said so.
      const { at, fence, run, state } = entry
      if (state !== "Running" || fence !== open.get(run)?.fence) close(run, at)
    }
  }
  return [...closed, ...open.values()]
}

/**
 * Storage wakes a claimer before its own caller has written down what it freed. No grant ends in the instant
 * it is made, so ends go first.
 */
export const endsFirst = (entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  const rank = (kind: string) => kind === "granted" ? 1 : 0
  return entries.toSorted((a, b) => a.at - b.at || rank(a.kind) - rank(b.kind))
}

/**
 * When each attempt was over, by run and fence: its code had ended, or its grant had. `isInCode`: of one that
 * goes on after somebody said how its run ended, only its code tells.
 */
export const attemptEnds = (
  outcome: Outcome,
  { isInCode = false }: { readonly isInCode?: boolean } = {},
): ReadonlyMap<string, number> => {
  const ends = new Map<string, number>()
  for (const { at, fence, run } of outcome.ledger.of("ended")) ends.set(`${run} ${fence}`, at)
  for (const { fence, isNotified, run, to } of [...tenuresOf(outcome).values()].flat()) {
    if (isInCode && isNotified) continue
    const key = `${run} ${fence}`
    ends.set(key, Math.min(ends.get(key) ?? Infinity, to))
  }
  return ends
}

/** Each grant once: a round that is sent again hands out the same. */
export const firstGrants = (ledger: Ledger): ReadonlyArray<Extract<Entry, { kind: "granted" }>> => {
  const seen = new Set<string>()
  return ledger.of("granted").filter(({ fence, run }) => {
    const key = `${run} ${fence}`
    return !seen.has(key) && seen.add(key)
  })
}

/** When each incarnation has left; that may be said more than once. */
export const leftAt = (ledger: Ledger): ReadonlyMap<number, number> =>
  new Map(ledger.of("left").toReversed().map(({ at, incarnation }) => [incarnation, at]))

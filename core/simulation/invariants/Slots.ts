/** What triggers were due, and what became of it. */
import * as SlotAudit from "../../domain/SlotAudit.ts"
import { askedOf, millis } from "../Kept.ts"
import { accountOf, type Due, type SlotStep, stillRunning } from "./accounts.ts"
import type { Entry } from "../Ledger.ts"
import type { Outcome } from "../Outcome.ts"
import type { Checker, That } from "./Invariant.ts"

/**
 * Each slot has one record, as it should by its rule, its pauses, its edits and its policy; and a fired
 * one has one run. The audit of the product, which looks at less, finds nothing either.
 */
export const I9: Checker = (outcome, that) => {
  const { clock, judged, kept, ledger, permanent, tailed } = outcome
  const byHand = askedOf(kept)
  const others = new Set<string | undefined>([
    ...tailed.map(({ trigger }) => trigger),
    ...permanent,
  ])
  const runsBySlot = Map.groupBy(
    // Those of events and of entries have their records beside those of slots: see I19 and T16. And a
    // permanent trigger is due when its last run has ended: see T15.
    [...kept.runs.values()]
      .filter(({ after, id, shard, slot, trigger }) =>
        slot !== undefined && after === undefined && shard === undefined && !others.has(trigger) &&
        !byHand.has(id)
      ),
    ({ slot, trigger }) => `${trigger} ${millis(slot!)}`,
  )
  const begin = ledger.entries[0]?.at ?? 0
  for (const { from, trigger, until } of judged) {
    const keptTrigger = kept.triggers.find(({ name }) => name === trigger)!
    const { account, records } = keptTrigger
    for (const { kind, slot, through } of SlotAudit.judge(account, from, until).findings) {
      that(false, () => `${trigger}: ${kind}, the slots ${slot} to ${through}`)
    }
    const { dues, next, wrong } = accountOf(outcome, keptTrigger)
    for (const each of wrong) that(false, () => each)
    that(next > until, () => `${trigger} has not fired slot ${next}`)
    const recorded = Map.groupBy(records, ({ slot }) => slot)
    for (const due of dues) {
      const [record, ...more] = recorded.get(due.slot) ?? []
      recorded.delete(due.slot)
      that(
        record !== undefined && more.length === 0 && said(record) === said(due),
        () =>
          `slot ${due.slot} of ${trigger} is ${[record, ...more].map(said).join(", ")}` +
          `, and should be ${said(due)}`,
      )
    }
    for (const [slot, all] of recorded) {
      that(false, () => `${trigger} has a record of ${slot}, ${all.map(said).join(", ")}`)
    }
    for (const { outcome, run, slot } of records) {
      const runs = runsBySlot.get(`${trigger} ${slot}`) ?? []
      runsBySlot.delete(`${trigger} ${slot}`)
      that(
        runs.length === (outcome === "fired" ? 1 : 0) && (runs.length === 0 || runs[0]!.id === run),
        () => `${trigger} has ${runs.length} runs of slot ${slot}, which is ${outcome}`,
      )
    }
  }
  for (const slot of runsBySlot.keys()) {
    that(false, () => `there is a run of ${slot}, and no record`)
  }
  for (const { at, run, slot } of ledger.of("started")) {
    if (slot === undefined) continue
    that(clock.latest(begin, at) >= slot, () => `run ${run} was started before its slot ${slot}`)
  }
}

const said = (due: Omit<Due, "reason"> & { readonly reason?: string | undefined } | undefined) => {
  if (due === undefined) return "nothing"
  // For which run is told by T14.
  const reason = due.reason?.replace(/^previous run \d+ still running$/, stillRunning)
  return `${due.outcome} up to ${due.through}${reason === undefined ? "" : `: ${reason}`}`
}

/** A slot that is due when all is well has its run within so long. */
const lateMillis = 1000
const rounding = 2

/**
 * A slot fires at its instant, or as soon after it as all is well again; and its run is due then, or
 * later by no more than the jitter.
 */
export const I10: Checker = (outcome, that) => {
  const { calmFrom, clock, judged, kept, permanent } = outcome
  const byHand = askedOf(kept)
  const runs = [...kept.runs.values()].filter(({ id, trigger }) =>
    !byHand.has(id) && !permanent.some((each) => each === trigger)
  )
  for (const { after, createdAt, id, shard, slot } of runs) {
    if (slot === undefined || after !== undefined || shard !== undefined) continue
    const late = clock.said(millis(createdAt)) - millis(slot)
    // Storages keep whole milliseconds, so it may have been set in the one that this is of.
    const early = millis(slot) - clock.latest(millis(createdAt), millis(createdAt) + 1)
    that(early <= 0, () => `run ${id} was made ${early} ms before its slot`)
    // One that the clock has passed by was never there to be fired in time.
    if ((clock.when(millis(slot)) ?? -Infinity) < calmFrom) continue
    that(late <= lateMillis, () => `run ${id} was made ${late} ms after its slot, and all was well`)
  }
  const made = new Set(
    runs.map(({ slot, trigger }) => `${trigger} ${slot && millis(slot)}`),
  )
  const fired = Map.groupBy(outcome.ledger.of("fired"), ({ trigger }) => trigger)
  for (const { trigger } of judged) {
    const keptTrigger = kept.triggers.find(({ name }) => name === trigger)!
    const { spells, steps } = accountOf(outcome, keptTrigger)
    isSpread(clock, trigger, steps, fired.get(keptTrigger.id) ?? [], that)
    const skipped = new Set(
      steps.filter(({ isSkipped, whileRunning }) => isSkipped && whileRunning === "skip")
        .map(({ slot }) => slot),
    )
    for (const { dueIn, from, isPaused, past, to } of spells) {
      const begin = Math.max(from, calmFrom)
      // Who turns it in between says what becomes of those that have not fired.
      const end = to - lateMillis
      if (isPaused || begin >= end) continue
      for (const slot of dueIn(clock.said(begin), clock.said(end))) {
        if (slot <= past || skipped.has(slot)) continue
        that(
          made.has(`${trigger} ${slot}`),
          () => `slot ${slot} of ${trigger} has made no run, and all was well`,
        )
      }
    }
  }
}

/** Of so many that were fired in time one is due later than this share of its jitter. */
const [spreadOf, spreadShare, spreadLeast] = [8, 0.1, 100]

/** No run is due after its jitter, and of many not all are due at once. */
const isSpread = (
  clock: Outcome["clock"],
  trigger: string,
  steps: ReadonlyArray<SlotStep>,
  fired: ReadonlyArray<Extract<Entry, { readonly kind: "fired" }>>,
  that: That,
) => {
  const jitters = new Map(steps.map(({ jitterMillis, slot }) => [slot, jitterMillis]))
  const shares: Array<number> = []
  for (const { at, delayMillis, run, slot } of fired) {
    const most = jitters.get(slot) ?? 0
    const late = clock.said(at) - slot
    // Whoever fires it goes by whole milliseconds, and by his own clock.
    that(
      delayMillis <= most + rounding,
      () => `run ${run} of ${trigger} is due ${delayMillis} ms after it was made, and not ${most}`,
    )
    if (most >= spreadLeast && late <= spreadShare * most) shares.push(delayMillis / most)
  }
  if (shares.length < spreadOf) return
  that(
    shares.some((share) => share > spreadShare),
    () => `${shares.length} runs of ${trigger} are due at once, and not within its jitter`,
  )
}

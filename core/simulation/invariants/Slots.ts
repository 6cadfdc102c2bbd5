/** What triggers were due, and what became of it. */
import * as SlotAudit from "../../domain/SlotAudit.ts"
import { millis } from "../Kept.ts"
import type { Checker } from "./Invariant.ts"

/** Each slot has one record, and a fired one has one run. */
export const I9: Checker = ({ clock, judged, kept, ledger, tailed }, that) => {
  const tails = new Set<string | undefined>(tailed.map(({ trigger }) => trigger))
  const runsBySlot = Map.groupBy(
    // Those of events and of entries have their records beside those of slots: see I19 and T16.
    [...kept.runs.values()]
      .filter(({ after, shard, slot, trigger }) =>
        slot !== undefined && after === undefined && shard === undefined && !tails.has(trigger)
      ),
    ({ slot, trigger }) => `${trigger} ${millis(slot!)}`,
  )
  const begin = ledger.entries[0]?.at ?? 0
  for (const { from, trigger, until } of judged) {
    const { account, records } = kept.triggers.find(({ name }) => name === trigger)!
    const { findings, open } = SlotAudit.judge(account, from, until)
    for (const { kind, slot, through } of findings) {
      that(false, () => `${trigger}: ${kind}, the slots ${slot} to ${through}`)
    }
    that(open === undefined, () => `${trigger} has not fired slot ${open}`)
    for (const { outcome, run, slot } of records) {
      const runs = runsBySlot.get(`${trigger} ${slot}`) ?? []
      runsBySlot.delete(`${trigger} ${slot}`)
      that(
        runs.length === (outcome === "fired" ? 1 : 0) && (runs.length === 0 || runs[0]!.id === run),
        () => `${trigger} has ${runs.length} runs of slot ${slot}, which is ${outcome}`,
      )
      // An edit may bring it slots before the one that it would have begun with, and by a clock that
      // was set back also such as lie before it was put.
      that(
        slot >= Math.min(...account.versions.map(({ since }) => since)),
        () => `${trigger} has a record of ${slot}, before it was put`,
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

/** A slot fires at its instant, or as soon after it as all is well again. */
export const I10: Checker = ({ calmFrom, clock, kept: { runs } }, that) => {
  for (const { after, createdAt, id, shard, slot } of runs.values()) {
    if (slot === undefined || after !== undefined || shard !== undefined) continue
    const late = clock.said(millis(createdAt)) - millis(slot)
    that(late >= 0, () => `run ${id} was made ${-late} ms before its slot`)
    // One that the clock has passed by was never there to be fired in time.
    if ((clock.when(millis(slot)) ?? -Infinity) < calmFrom) continue
    that(late <= 1000, () => `run ${id} was made ${late} ms after its slot, and all was well`)
  }
}

/** Of those who hold a duty at once, one fires a slot, and one frees a grant. */
export const I18: Checker = ({ ledger }, that) => {
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

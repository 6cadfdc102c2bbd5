/**
 * The invariants of the product, each a function from what really happened to what was wrong.
 * Their numbers are those of the project's reliability bar.
 */
import * as Run from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import * as SlotAudit from "../domain/SlotAudit.ts"
import type { KeptTrigger } from "../../adapters/memory/mod.ts"
import { followedTask, type Outcome } from "./World.ts"
import { startsAt, triggersUntil } from "./Plan.ts"

export interface Violation {
  readonly invariant: string
  readonly what: string
}

type Checker = (outcome: Outcome) => ReadonlyArray<string>

/** What was acknowledged is kept and ends; what exists was asked for. */
const I1: Checker = ({ ledger, state }) => {
  const wrong: Array<string> = []
  const succeeded = new Set(
    ledger.of("ended").filter(({ how }) => how === "succeeded").map(({ run }) => run),
  )
  for (const { run, task } of ledger.of("acknowledged")) {
    const entry = state.runs.get(run)
    if (entry === undefined) wrong.push(`run ${run} of ${task} was acknowledged and is gone`)
    else if (!Run.isFinal(entry.state._tag)) {
      wrong.push(`run ${run} of ${task} was acknowledged and is still ${entry.state._tag}`)
    }
  }
  for (const { id, state: { _tag } } of state.runs.values()) {
    if (!Run.isFinal(_tag)) wrong.push(`run ${id} never ended, it is ${_tag}`)
    if (_tag === "Succeeded" && !succeeded.has(id)) {
      wrong.push(`run ${id} is said to have succeeded, and no handler did`)
    }
  }
  return wrong
}

/** From each grant to its end: settled, freed, or the end of the world. */
interface Tenure {
  readonly run: RunId
  readonly fence: number
  readonly incarnation: number
  readonly from: number
  readonly to: number
}

const tenures = ({ ledger }: Outcome): ReadonlyArray<Tenure> => {
  const open = new Map<RunId, Tenure>()
  const closed: Array<Tenure> = []
  const close = (run: RunId, to: number) => {
    const tenure = open.get(run)
    if (tenure !== undefined) closed.push({ ...tenure, to })
    open.delete(run)
  }
  // Storage wakes a claimer before its own caller has written down what it freed. No grant ends in
  // the instant it is made, so ends go first.
  const rank = (kind: string) => kind === "granted" ? 1 : 0
  const inOrder = ledger.entries.toSorted((a, b) => a.at - b.at || rank(a.kind) - rank(b.kind))
  for (const entry of inOrder) {
    if (entry.kind === "granted") {
      const { at, fence, incarnation, run } = entry
      // A round that is sent again hands out the same grant.
      const present = open.get(run)
      if (present?.fence === fence && present.incarnation === incarnation) continue
      if (present !== undefined) closed.push({ ...present, to: Infinity })
      open.set(run, { run, fence, incarnation, from: at, to: Infinity })
    } else if (entry.kind === "settled" && entry.answer === "applied") close(entry.run, entry.at)
    else if (entry.kind === "freed") close(entry.run, entry.at)
  }
  return [...closed, ...open.values()]
}

/** A run has at most one live grant, and user code starts only under it. */
const I3: Checker = (outcome) => {
  const wrong: Array<string> = []
  const byRun = Map.groupBy(tenures(outcome), ({ run }) => run)
  for (const [run, all] of byRun) {
    const sorted = all.toSorted((a, b) => a.from - b.from)
    for (const [at, { fence, to }] of sorted.entries()) {
      const next = sorted[at + 1]
      if (next !== undefined && next.from < to) {
        wrong.push(`run ${run} was granted with fence ${next.fence} under live fence ${fence}`)
      }
    }
  }
  for (const { at, fence, run } of outcome.ledger.of("started")) {
    const isHeld = byRun.get(run)?.some((each) =>
      each.fence === fence && each.from <= at && at <= each.to
    )
    if (!isHeld) wrong.push(`run ${run} was started with fence ${fence} after its grant had ended`)
  }
  return wrong
}

/** The fence of a run rises with every grant. */
const I4: Checker = ({ ledger }) => {
  const wrong: Array<string> = []
  const last = new Map<RunId, { fence: number; incarnation: number }>()
  for (const { fence, incarnation, run } of ledger.of("granted")) {
    const before = last.get(run)
    const isRepeated = before?.fence === fence && before.incarnation === incarnation
    if (before !== undefined && fence <= before.fence && !isRepeated) {
      wrong.push(`run ${run} was granted with fence ${fence} after ${before.fence}`)
    }
    last.set(run, { fence, incarnation })
  }
  return wrong
}

/** What was accepted of a run came from its holder, and its result is of the attempt that ended it. */
const I5: Checker = (outcome) => {
  const wrong: Array<string> = []
  const byRun = Map.groupBy(tenures(outcome), ({ run }) => run)
  for (const { answer, at, fence, report, run } of outcome.ledger.of("settled")) {
    if (answer !== "applied") continue
    const isOwn = byRun.get(run)?.some((each) => each.fence === fence && each.to === at)
    if (!isOwn) wrong.push(`${report} of run ${run} was accepted with fence ${fence}, not its own`)
  }
  for (const { id, result, state } of outcome.state.runs.values()) {
    if (result === undefined) continue
    const { fence } = JSON.parse(result) as { fence: number }
    if (fence !== state.fence) {
      wrong.push(`run ${id} ended with fence ${state.fence} and keeps the result of ${fence}`)
    }
  }
  return wrong
}

/** Each slot has one record, and a fired one has one run. */
const I9: Checker = ({ activated, ledger, plan, state }) => {
  const wrong: Array<string> = []
  const runsBySlot = Map.groupBy(
    // One that follows another has its record beside those of slots, which I19 looks after.
    [...state.runs.values()]
      .filter(({ follows, slot }) => slot !== undefined && follows === undefined),
    ({ slot, trigger }) => `${trigger} ${slot}`,
  )
  for (const { name } of plan.triggers) {
    const kept = [...state.triggers.values()].find(({ view }) => view.definition.name === name)!
    const first = activated.get(name)!
    const { findings, open } = SlotAudit.judge(
      accountOf(kept),
      first,
      // Those of the last moments may be left to the planner that comes next.
      startsAt + triggersUntil - 3000,
    )
    for (const { kind, slot, through } of findings) {
      wrong.push(`${name}: ${kind}, the slots ${slot} to ${through}`)
    }
    if (open !== undefined) wrong.push(`${name} has not fired slot ${open}`)
    for (const { outcome, run, slot } of kept.records) {
      const runs = runsBySlot.get(`${name} ${slot}`) ?? []
      runsBySlot.delete(`${name} ${slot}`)
      if (runs.length !== (outcome === "fired" ? 1 : 0) || (runs[0] && runs[0].id !== run)) {
        wrong.push(`${name} has ${runs.length} runs of slot ${slot}, which is ${outcome}`)
      }
      // An edit may bring it slots before the one that it would have begun with.
      if (slot < kept.versions[0]!.since) {
        wrong.push(`${name} has a record of ${slot}, before it was put`)
      }
    }
  }
  for (const slot of runsBySlot.keys()) wrong.push(`there is a run of ${slot}, and no record`)
  for (const { at, run, slot } of ledger.of("started")) {
    if (slot !== undefined && at < slot) {
      wrong.push(`run ${run} was started before its slot ${slot}`)
    }
  }
  return wrong
}

const accountOf = ({ records, versions, view }: KeptTrigger): SlotAudit.Account => ({
  versions: versions.map(({ calendar, definition, since }) => ({
    since,
    schedule: definition?.schedule,
    calendar,
  })),
  records: records.toSorted((a, b) => a.slot - b.slot)
    .map(({ slot, through }) => ({ slot, through, isGathered: false })),
  cursor: view.cursor,
  isPaused: view.isPaused,
})

/** From the acknowledgement of a pause on no slot makes a run, until somebody lets it go on. */
const I16: Checker = ({ pauses, state }) =>
  pauses.flatMap(({ from, to, trigger }) =>
    [...state.runs.values()]
      .filter((run) => run.trigger === trigger && from < run.createdAt && run.createdAt < to)
      .map(({ id }) => `run ${id} was made while ${trigger} was paused`)
  )

/**
 * Under `concurrent(2)` no three runs of a gate are under way at once; under every other blocking, and
 * where they touch a thing exclusively, no two. An attempt counts as under way from its start until it ended or its grant did.
 */
const I12: Checker = (outcome) => {
  const wrong: Array<string> = []
  const { ledger } = outcome
  const ends = new Map<string, number>()
  for (const { at, fence, run } of ledger.of("ended")) ends.set(`${run} ${fence}`, at)
  for (const { fence, run, to } of tenures(outcome)) {
    const key = `${run} ${fence}`
    ends.set(key, Math.min(ends.get(key) ?? Infinity, to))
  }
  const byGate = Map.groupBy(ledger.of("started").filter(({ gate }) => gate), ({ gate }) => gate!)
  for (const [gate, started] of byGate) {
    const places = started[0]!.task === "pair" ? 2 : 1
    for (const { at, run } of started) {
      const under = started.filter((other) =>
        other.run !== run && other.at <= at &&
        at < (ends.get(`${other.run} ${other.fence}`) ?? Infinity)
      )
      const others = new Set(under.map((other) => other.run))
      if (others.size >= places) {
        wrong.push(`run ${run} was started while ${[...others].join(", ")} held ${gate}`)
      }
    }
  }
  // At-most-once is the same promise over time.
  const starts = Map.groupBy(ledger.of("started"), ({ run }) => run)
  for (const [run, all] of starts) {
    if (all[0]!.task === "once" && all.length > 1) {
      wrong.push(`run ${run} is at-most-once and was started ${all.length} times`)
    }
  }
  for (const { run, state } of ledger.of("acknowledged")) {
    if (state === "Discarded" && starts.has(run)) {
      wrong.push(`run ${run} was acknowledged as discarded, and was started`)
    }
  }
  return wrong
}

/** Each end of a run that is followed has made one run, and none before it had ended. */
const I19: Checker = ({ state }) => {
  const wrong: Array<string> = []
  const runs = [...state.runs.values()]
  const made = Map.groupBy(
    runs.filter(({ follows }) => follows !== undefined),
    ({ follows }) => follows!.run,
  )
  for (const { finishedAt, id, spec } of runs) {
    const followers = made.get(id) ?? []
    const expected = spec.task === followedTask.name && finishedAt !== undefined ? 1 : 0
    if (followers.length !== expected) {
      wrong.push(`run ${id} of ${spec.task} is followed by ${followers.length} runs`)
    }
    for (const each of followers) {
      if (each.createdAt < (finishedAt ?? Infinity)) {
        wrong.push(`run ${each.id} was made before run ${id} had ended, which it follows`)
      }
    }
  }
  return wrong
}

/** A run of a routed task is granted to the executor that it was placed with. */
const placed: Checker = ({ ledger }) =>
  ledger.of("granted").flatMap(({ incarnation, placedWith, run }) =>
    placedWith === undefined || placedWith === incarnation
      ? []
      : [`run ${run} was placed with ${placedWith} and granted to ${incarnation}`]
  )

const checkers: Readonly<Record<string, Checker>> = {
  I1,
  I3,
  I4,
  I5,
  I9,
  I12,
  I16,
  I19,
  placed,
}

export const check = (outcome: Outcome): ReadonlyArray<Violation> =>
  Object.entries(checkers).flatMap(([invariant, checker]) =>
    checker(outcome).map((what) => ({ invariant, what }))
  )

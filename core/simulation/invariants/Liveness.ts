/** What goes on by itself when all is well. */
import type { RunId } from "../../domain/RunId.ts"
import { askedOf, millis } from "../Kept.ts"
import type { Outcome } from "../Outcome.ts"
import { policyOf } from "../tasks.ts"
import { ttlMillis } from "../times.ts"
import { delaysOf } from "./Early.ts"
import type { Checker } from "./Invariant.ts"
import { attemptEnds, type Tenure, tenuresOf } from "./tenures.ts"

const sweepMillis = 500

/** Runs that wait for nothing but a place, from when they are due until they are granted. */
const waits = (outcome: Outcome) => {
  const { calmFrom, clock, endedAt, kept: { runs }, ledger } = outcome
  const delays = delaysOf(outcome)
  const filledIn = askedOf(outcome.kept)
  const ordered = new Set(ledger.of("ordered").map(({ run }) => run))
  const granted = new Map<RunId, number>()
  for (const { at, run } of ledger.of("granted")) if (!granted.has(run)) granted.set(run, at)
  return [...runs.values()].flatMap((view) => {
    const { blocking, breaker, group, rateLimit, routing, selector, touches } = policyOf(view.task)
    const isPlain = [blocking, breaker, group, rateLimit, routing, selector, touches]
      .every((each) => each === undefined)
    const made = millis(view.createdAt)
    const delayMillis = delays.get(view.id) ?? 0
    const from = made + delayMillis
    // How far apart a backfill has its runs due is not told.
    const isUntold = ordered.has(view.id) || filledIn.has(view.id)
    if (!isPlain || made < calmFrom || isUntold || !clock.isSteady(made, from)) return []
    const { finishedAt } = view
    // What has expired waits no more.
    const to = finishedAt === undefined ? endedAt : millis(finishedAt)
    return [{ run: view.id, from, to: granted.get(view.id) ?? to, isLater: delayMillis > 0 }]
  })
}

/** Whether some executor has had a free place all the time. */
const roomOf = (outcome: Outcome) => {
  const { kept: { executors }, ledger } = outcome
  const ends = attemptEnds(outcome, { isInCode: true })
  const tenures = tenuresOf(outcome)
  const busy = Map.groupBy(
    [...ledger.of("started"), ...ledger.of("undoing"), ...ledger.of("hooked")].map((each) => {
      const { at, fence, kind, process, run } = each
      // Hooks go on for as long as the run is held.
      const held = tenures.get(run)?.find((tenure) => tenure.fence === fence)
      const end = kind !== "hooked"
        ? ends.get(`${run} ${fence}`)
        : held?.isNotified
        ? undefined
        : held?.to
      return { process: process.split(".")[0]!, from: at, to: end ?? Infinity }
    }),
    ({ process }) => process,
  )
  const places = new Map<string, number>(
    executors.filter(({ standing }) => standing === "live")
      .map(({ capacity, name }) => [name, capacity]),
  )
  return (from: number, to: number) =>
    [...places].some(([name, capacity]) =>
      (busy.get(name) ?? []).filter((each) => each.from <= to && each.to >= from).length < capacity
    )
}

const startsWithin = (mostMillis: number, sinceCalm: number): Checker => (outcome, that) => {
  const hasRoom = roomOf(outcome)
  for (const { from, isLater, run, to } of waits(outcome)) {
    // What is due by and by is looked for now and then, and hinted when that is seen.
    if (isLater && sinceCalm > 0) continue
    if (from < outcome.calmFrom + sinceCalm || !hasRoom(from, Math.min(to, from + mostMillis))) {
      continue
    }
    that(to - from <= mostMillis, () => `run ${run} waited for ${to - from} ms beside a free place`)
  }
}

/** What is due starts within five seconds, where there is room. */
export const L1: Checker = startsWithin(5000, 0)

/**
 * Hints arrive again, some time after all was cut off: nobody waits for the next look, which mostly comes
 * after nine tenths of a second.
 */
export const L4: Checker = startsWithin(700, 5000)

/** What a lease may be off by, where its storage keeps whole milliseconds and measures its clock. */
export const slackMillis = 600

/**
 * Nobody is said to hold a run for long who is not there any more: whoever was silent for its ttl, or
 * for that since the clock was set, holds nothing after the next sweep.
 */
export const L2: Checker = (outcome, that) => {
  const { calmFrom, clock, kept: { runs }, ledger } = outcome
  const moved = Map.groupBy(ledger.of("moved"), ({ run }) => run)
  /** Whoever was notified of a run, or put it down, has ended the grant as well. */
  const endOf = ({ from, run, to }: Tenure) =>
    Math.min(
      to,
      moved.get(run)?.find(({ at, to }) => at > from && to !== "Running")?.at ?? Infinity,
      ...[runs.get(run)?.finishedAt ?? []].flat().map(millis),
    )
  const beats = Map.groupBy(ledger.of("beat"), ({ incarnation }) => incarnation)
  const swept = ledger.of("swept").map(({ at }) => at)
  for (const tenure of [...tenuresOf(outcome).values()].flat()) {
    const { from, incarnation, run } = tenure
    const to = endOf(tenure)
    const own = beats.get(incarnation)
    if (own === undefined) continue
    const heard = Math.max(
      from,
      ...own.filter(({ at, isAlive }) => isAlive && at <= to).map(({ at }) => at),
      ...clock.steps.filter((at) => at <= to),
    )
    const ends = heard + own[0]!.ttlMillis! + slackMillis
    that(
      !swept.some((at) => ends < at && at < to),
      () => `run ${run} was held on by executor ${incarnation}, silent since ${heard}`,
    )
  }
  const since = new Map<string, number>()
  for (const { at, fence, isHeldByNobody, run, state } of ledger.of("seen")) {
    if (at < calmFrom || state !== "Running") continue
    const key = `${run} ${fence}`
    if (!isHeldByNobody) since.delete(key)
    else if (!since.has(key)) since.set(key, at)
    const from = since.get(key) ?? at
    that(
      at - from <= 2 * sweepMillis + 1000,
      () => `run ${run} was held for ${at - from} ms by an executor that is lost`,
    )
  }
}

/** Whoever holds the duties dies, and another has them within the ttl and two seconds. */
export const L3: Checker = ({ clock, endedAt, faults, ledger, schedulers }, that) => {
  const swept = ledger.of("swept").map(({ at }) => at)
  const isWell = (process: string, from: number, to: number, but?: Outcome["faults"][number]) =>
    !faults.some((fault) =>
      fault !== but && fault.process === process && fault.from <= to &&
      fault.until + ttlMillis >= from
    )
  for (const death of faults) {
    const { from, process, what } = death
    const to = from + 5000 + 2000
    const others = schedulers.filter((other) => other !== process)
    if (what !== "kill" || !schedulers.includes(process) || to > endedAt) continue
    // The lock of who stood by begins anew then.
    if (!clock.isSteady(from, to)) continue
    // Any of them may be the next, and one that is cut off holds up the rest.
    if (others.length === 0 || !others.every((other) => isWell(other, from - 10_000, to))) continue
    // What it has sent comes late then, and whoever starts in its place is cut off as it was.
    if (!isWell(process, from, to, death)) continue
    that(
      swept.some((at) => from < at && at <= to),
      () => `${process} died at ${from}, and until ${to} nobody took over`,
    )
  }
}

/** Nobody waits at a gate with room for longer than a sweep takes to come by. */
export const L5: Checker = ({ calmFrom, ledger }, that) => {
  const since = new Map<string, number>()
  for (const { at, gates } of ledger.of("open")) {
    for (const gate of since.keys()) if (!gates.includes(gate as never)) since.delete(gate)
    if (at < calmFrom) continue
    for (const gate of gates) since.set(gate, since.get(gate) ?? at)
    for (const [gate, from] of since) {
      that(
        at - from <= 2 * sweepMillis + 1000,
        () => `${gate} was open for ${at - from} ms, and somebody waited`,
      )
    }
    // So that what was looked at and found in order counts as such.
    if (gates.length === 0) that(true, () => "")
  }
}

/** How a run goes on from one state, and from one attempt, to the next. */
import { readFileSync } from "node:fs"
import * as Run from "../../domain/Run.ts"
import type { Retry } from "../../domain/Retry.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Outcome } from "../Outcome.ts"
import { longestMillis } from "../Restless.ts"
import { policyOf } from "../tasks.ts"
import { ttlMillis } from "../times.ts"
import type { Checker } from "./Invariant.ts"
import { slackMillis } from "./Liveness.ts"
import { leftAt, tenuresOf } from "./tenures.ts"

/** The published diagram: what may follow what. */
const published: ReadonlySet<string> = new Set(
  readFileSync(new URL("../../../docs/states.md", import.meta.url), "utf8")
    .matchAll(/^ {2}(\w+|\[\*\]) --> (\w+)/gm)
    .map(([, from, to]) => `${from} ${to}`),
)

const follows = (from: string, to: string): boolean => published.has(`${from} ${to}`)

/** Whether one may follow the other, with others between them that nobody saw. */
const mayFollow = (() => {
  const states = Run.StateName.literals
  const reached = new Set(published)
  for (const by of states) {
    for (const from of [...states, "[*]"]) {
      for (const to of states) {
        if (reached.has(`${from} ${by}`) && reached.has(`${by} ${to}`)) reached.add(`${from} ${to}`)
      }
    }
  }
  return (from: string, to: string) => reached.has(`${from} ${to}`)
})()

/**
 * How often what ended was to go on, by its own order or that of its parent. An order may come twice, and late:
 * then it is carried out twice, if it has ended again in between.
 */
const revivals = ({ kept: { runs }, ledger }: Outcome) => {
  const counts = new Map<RunId | undefined, number>()
  const rolledBack = ledger.of("rolledBack").filter(({ answer }) => answer === "confirmed")
  for (const { run } of [...ledger.of("revived"), ...rolledBack]) {
    counts.set(run, (counts.get(run) ?? 0) + 1)
  }
  return (run: RunId) => (counts.get(run) ?? 0) + (counts.get(runs.get(run)?.shard?.parent) ?? 0)
}

/** It went from state to state as published, and what had ended stayed so unless it was revived. */
export const I6: Checker = (outcome, that) => {
  const revived = revivals(outcome)
  const { kept: { runs }, ledger } = outcome
  const state = new Map<RunId, string>()
  const goes = (from: string, to: string, run: RunId, isSeen: boolean) => {
    that(
      (isSeen && from === to) || (isSeen ? mayFollow : follows)(from, to),
      () => `run ${run} went from ${from} to ${to}`,
    )
    that(
      from === to || !Run.isFinal(from) || revived(run) > 0,
      () => `run ${run} had ended ${from}, and became ${to}`,
    )
  }
  for (const entry of ledger.entries) {
    if (entry.kind === "moved") {
      goes(state.get(entry.run) ?? "[*]", entry.to, entry.run, false)
      state.set(entry.run, entry.to)
    } else if (entry.kind === "seen") {
      goes(state.get(entry.run) ?? "[*]", entry.state, entry.run, true)
      state.set(entry.run, entry.state)
    }
  }
  for (const [run, last] of state) {
    const kept = runs.get(run)?.state
    if (kept !== undefined) goes(last, kept, run, true)
  }
}

/**
 * A run is started no more often than its policy tries, and once more for each start that was lost,
 * given back or revived. What its holder has done is not given back. What executors were lost with too often is in quarantine.
 */
export const I7: Checker = (outcome, that) => {
  lostRightly(outcome, that)
  givenBackUncounted(outcome, that)
  const { kept: { runs }, ledger } = outcome
  const revived = revivals(outcome)
  const applied = ledger.of("settled").filter(({ answer }) => answer === "applied")
  const freed = Map.groupBy(ledger.of("freed"), ({ run }) => run)
  const released = Map.groupBy(
    applied.filter(({ report }) => report === "Release"),
    ({ run }) => run,
  )
  const retried = Map.groupBy(applied.filter(({ report }) => report === "Retry"), ({ run }) => run)
  // What was put down goes on with the attempt that it was.
  const put = Map.groupBy(applied.filter(({ report }) => report === "Yield"), ({ run }) => run)
  const count = (of: ReadonlyMap<RunId, ReadonlyArray<unknown>>, run: RunId) =>
    of.get(run)?.length ?? 0
  const started = Map.groupBy(ledger.of("started"), ({ run }) => run)
  const ended = new Map(ledger.of("ended").map((each) => [`${each.run} ${each.fence}`, each]))
  const pauses = Map.groupBy(
    ledger.of("fault").filter(({ what }) => what === "pause"),
    ({ process }) => process,
  )
  /** Whoever was paused after it had done it has let go of it, as its lease may have run out. */
  const wasPaused = (run: RunId, fence: number, from: number, to: number) =>
    started.get(run)?.some((each) =>
      each.fence === fence &&
      pauses.get(each.process)?.some(({ at }) => at > from && at < to)
    ) === true
  for (const { at, fence, isUnknown, run } of ledger.of("freed")) {
    const end = ended.get(`${run} ${fence}`)
    that(
      isUnknown !== true || end === undefined || end.how === "interrupted" || end.at > at ||
        wasPaused(run, fence, end.at, at),
      () => `run ${run} was given back although its holder had just done it`,
    )
  }
  for (const { crashes, id, state, task } of runs.values()) {
    const { crashesMax, delivery, retry } = policyOf(task)
    const starts = new Set(started.get(id)?.map(({ fence }) => fence)).size
    const again = revived(id) + count(put, id)
    const retries = count(retried, id)
    const explained = 1 + retries + count(freed, id) + count(released, id) + again
    that(starts <= explained, () => `run ${id} was started ${starts} times, ${explained} explained`)
    that(
      retries <= retry.attempts - 1 + revived(id),
      () => `run ${id} was tried ${retries} times more, and may be ${retry.attempts} times in all`,
    )
    that(
      started.get(id)?.length === undefined || started.get(id)!.length === starts,
      () => `run ${id} was started twice under one grant`,
    )
    that(
      crashes <= crashesMax || state === "Quarantined" || Run.isFinal(state),
      () => `run ${id} is ${state} after ${crashes} crashes`,
    )
    if (delivery === "at-most-once") {
      that(
        starts <= 1 + again,
        () => `run ${id} is at-most-once, and started ${starts} times`,
      )
    }
  }
}

interface Begun {
  readonly attempt: number
  readonly fence: number
  readonly isReleased: boolean
}

/** What was given back goes on as the attempt that it was. */
const givenBackUncounted: Checker = ({ ledger }, that) => {
  const before = new Map<RunId, Begun>()
  for (const entry of ledger.entries) {
    if (entry.kind === "started") {
      const { attempt, fence, run } = entry
      const last = before.get(run)
      that(
        last?.isReleased !== true || attempt === last.attempt,
        () => `run ${run} was given back in attempt ${last!.attempt}, and goes on in ${attempt}`,
      )
      before.set(run, { attempt, isReleased: false, fence })
    } else if (entry.kind === "settled" && entry.answer === "applied") {
      const last = before.get(entry.run)
      if (last === undefined) continue
      // Whoever had it since may have given it back before it began.
      const isSame = last.isReleased || entry.fence === last.fence
      const isReleased = entry.report === "Release" && isSame
      if (isReleased) before.set(entry.run, { ...last, isReleased })
      else before.delete(entry.run)
    } else if (entry.kind === "freed" || entry.kind === "ordered") before.delete(entry.run)
  }
}

/** Nobody's run is taken for lost who has not left, and was heard of within the ttl. */
const lostRightly: Checker = (outcome, that) => {
  const { clock, ledger } = outcome
  const tenures = tenuresOf(outcome)
  const beats = Map.groupBy(
    ledger.of("beat").filter(({ isAlive }) => isAlive),
    ({ incarnation }) => incarnation,
  )
  const left = leftAt(ledger)
  for (const { at, fence, isUnknown, run } of ledger.of("freed")) {
    if (isUnknown === true) continue
    const tenure = tenures.get(run)?.find((each) => each.fence === fence && each.from <= at)
    if (tenure === undefined) continue
    const { incarnation } = tenure
    const own = beats.get(incarnation) ?? []
    const { ttlMillis } = own.find(({ ttlMillis }) => ttlMillis !== undefined) ?? {}
    if (ttlMillis === undefined || !clock.isSteady(at - ttlMillis - slackMillis, at)) continue
    const heard = Math.max(...own.filter((beat) => beat.at <= at).map(({ at }) => at))
    that(
      (left.get(incarnation) ?? Infinity) <= at || heard + ttlMillis - slackMillis <= at,
      () => `run ${run} was taken from executor ${incarnation}, heard of ${at - heard} ms before`,
    )
  }
}

/** An attempt that ended so counts for good; one that was given back, put down or lost does not. */
const isCounted: ReadonlySet<string> = new Set(["Retry", "GiveUp", "TimeOut"])

/** Of so many delays one has more than this share of its jitter. */
const [spreadOf, spreadShare] = [8, 0.1]

/**
 * What failed is tried again no sooner than its policy says, and the delay is what that says for so
 * many attempts; of many delays of a policy not all are the shortest. One that is revived goes on counting, also what was handed over in vain.
 */
export const I8: Checker = (outcome, that) => {
  const { clock, kept: { runs }, ledger } = outcome
  const failures = new Map<RunId, number>()
  /** What comes after it was handed over is no attempt, and its holder need not have said that it was. */
  const handedOver = new Set<RunId>()
  const marked = new Set<RunId>()
  const fail = (run: RunId) => {
    const failed = (failures.get(run) ?? 0) + 1
    failures.set(run, failed)
    return failed
  }
  const handOver = (run: RunId) => {
    if (!handedOver.has(run)) fail(run)
    handedOver.add(run)
  }
  const due = new Map<RunId, { readonly since: number; readonly at: number }>()
  const shares = new Map<Retry, Array<number>>()
  for (const entry of ledger.entries) {
    if (entry.kind === "granted") {
      if (entry.concluded === undefined) handedOver.delete(entry.run)
      const again = due.get(entry.run)
      if (again === undefined) continue
      due.delete(entry.run)
      const early = again.at - clock.latest(again.since, entry.at)
      // A storage may keep whole milliseconds.
      that(early < 1, () => `run ${entry.run} was tried again ${early} ms too early`)
    } else if (entry.kind === "ordered" && entry.order === "resume") {
      // Whoever has it go on has it go on now.
      due.delete(entry.run)
    } else if (entry.kind === "marked") {
      if (entry.concluded?.phase === "handedOver") marked.add(entry.run)
    } else if (entry.kind === "freed") marked.delete(entry.run)
    else if (entry.kind === "notified") {
      if (entry.answer === "applied") handOver(entry.run)
    } else if (entry.kind === "cancelled") {
      if (marked.delete(entry.run)) handOver(entry.run)
    } else if (entry.kind === "settled" && entry.answer === "applied") {
      const { at, delayMillis = 0, report, run } = entry
      const task = runs.get(run)?.task
      if (report === "Await") handOver(run)
      if (task === undefined || !isCounted.has(report) || handedOver.has(run)) continue
      const { retry } = policyOf(task)
      const failed = fail(run)
      if (report !== "Retry") continue
      due.set(run, { since: at, at: clock.said(at) + delayMillis })
      const least = Math.min(retry.delayMillis * retry.growth ** (failed - 1), retry.capMillis)
      that(
        least <= delayMillis && delayMillis <= Math.ceil(least * (1 + retry.jitter)),
        () => `failure ${failed} of run ${run} is followed by ${delayMillis} ms, not ${least}`,
      )
      const most = least * retry.jitter
      if (most > 0) shares.set(retry, [...shares.get(retry) ?? [], (delayMillis - least) / most])
    }
  }
  for (const each of shares.values()) {
    if (each.length < spreadOf) continue
    that(
      each.some((share) => share > spreadShare),
      () => `${each.length} delays of one policy are all the shortest, and not jittered`,
    )
  }
}

/**
 * What takes too long is stopped, by the clock of its executor, whose process was there; and whatever
 * became of that process, by two seconds after its time nobody has the run any more.
 */
export const I17: Checker = (outcome, that) => {
  stoppedInTime(outcome, that)
  revokedInTime(outcome, that)
}

const stoppedInTime: Checker = ({ ledger }, that) => {
  const ended = new Map(ledger.of("ended").map((each) => [`${each.run} ${each.fence}`, each]))
  const pauses = ledger.of("fault").filter(({ what }) => what === "pause")
  for (const { at, fence, process, run, task } of ledger.of("started")) {
    const { timeoutMillis } = policyOf(task)
    const end = ended.get(`${run} ${fence}`)
    if (timeoutMillis === undefined || end === undefined) continue
    const paused = pauses.filter((pause) => pause.process === process)
      .reduce((sum, pause) => sum + Math.max(0, pause.until - Math.max(at, pause.at)), 0)
    const took = end.at - at
    // Clocks run fast or slow by two hundredths, and whoever stops it may yield before it does.
    that(
      took <= timeoutMillis * 1.03 + paused + 50 + 5 * longestMillis,
      () => `run ${run} took ${took} ms, and had ${timeoutMillis}`,
    )
  }
}

/** A quarter of its ttl, a quarter of a second, and the way: by then storage knows that a run has begun. */
const toldMillis = ttlMillis / 4 + 500
/** Whoever stands by takes over within it. */
const takenOverMillis = 10_000

const revokedInTime: Checker = (outcome, that) => {
  const { clock, endedAt, faults, ledger, schedulers } = outcome
  const isWell = (process: string, from: number, to: number) =>
    !faults.some((fault) =>
      fault.process === process && fault.from <= to && fault.until + ttlMillis >= from
    )
  // What is put down passes on with its lease.
  const putDown = new Set(
    ledger.of("ordered").filter(({ order }) => order === "suspend").map(({ run }) => run),
  )
  const ended = new Map(ledger.of("ended").map((each) => [`${each.run} ${each.fence}`, each]))
  const beats = Map.groupBy(ledger.of("beat"), ({ incarnation }) => incarnation)
  const tenures = tenuresOf(outcome)
  for (const { at, fence, process, run, task } of ledger.of("started")) {
    const { timeoutMillis } = policyOf(task)
    if (timeoutMillis === undefined || putDown.has(run)) continue
    const tenure = tenures.get(run)?.find((each) => each.fence === fence)
    // What has ended in time passes on with its lease as well, if a beat has said so and no report.
    const end = ended.get(`${run} ${fence}`)
    const isInTime = end !== undefined && end.how !== "interrupted" &&
      end.at <= at + timeoutMillis * 1.03
    const isSaid = isInTime && tenure !== undefined &&
      beats.get(tenure.incarnation)?.some((beat) => beat.at >= end.at && beat.at <= tenure.to)
    if (isSaid === true) continue
    // Whoever sweeps may yield in each of its ten calls, and has just begun when it is time.
    const by = at + (timeoutMillis + 2000) * 1.03 + 50 + 10 * longestMillis
    if (by > endedAt || !clock.isSteady(at - takenOverMillis, by)) continue
    if (!isWell(process.split(".")[0]!, at, at + toldMillis)) continue
    if (!schedulers.every((each) => isWell(each, at - takenOverMillis, by))) continue
    const to = tenure?.to ?? at
    that(
      to <= by,
      () => `run ${run} was held for ${to - at} ms, and had ${timeoutMillis}`,
    )
  }
}

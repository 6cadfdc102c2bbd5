/** Runs that must have begun by an instant, and runs that somebody wants otherwise. */
import * as Run from "../../domain/Run.ts"
import type { RunId } from "../../domain/RunId.ts"
import { millis } from "../Kept.ts"
import { submittedDeadlines } from "./mustBegin.ts"
import type { Checker } from "./Invariant.ts"

/** A storage may keep whole milliseconds. */
const rounding = 2
/** So soon after its deadline a run has expired when all is well: a sweep has come by. */
const soonMillis = 2000

/**
 * What nobody had begun by its deadline, as it was submitted or changed last, is not granted or begun
 * after it, and ends as expired, soon when all is well; and nothing else expires.
 */
export const R16: Checker = (outcome, that) => {
  const { calmFrom, clock, kept: { runs }, ledger } = outcome
  const deadlines = new Map<RunId, number | undefined>(submittedDeadlines(outcome))
  const of = (run: RunId) =>
    deadlines.get(run) ?? deadlines.get(runs.get(run)?.shard?.parent as RunId)
  const marked = new Set<RunId>()
  const started = new Set<RunId>()
  /** By a notice: should they be revived, they are in no hurry any more. */
  const ended = new Set<RunId>()
  const isLetBe = (run: RunId) => marked.has(run) || ended.has(run)
  const inTime = (run: RunId, at: number, what: string) => {
    const late = clock.said(at) - (of(run) ?? Infinity)
    that(late <= rounding, () => `run ${run} was ${what} ${late} ms after its deadline`)
  }
  for (const entry of ledger.entries) {
    if (entry.kind === "changed") {
      const { answer, at, deadlineMillis, run } = entry
      if (answer !== "confirmed" || deadlineMillis === undefined) continue
      deadlines.set(run, deadlineMillis === null ? undefined : clock.said(at) + deadlineMillis)
    } else if (entry.kind === "notified") {
      if (entry.answer === "applied") ended.add(entry.run)
    } else if (entry.kind === "granted") {
      if (!isLetBe(entry.run)) inTime(entry.run, entry.at, "granted")
    } else if (entry.kind === "marked") {
      if (entry.what !== "start") continue
      if (!isLetBe(entry.run)) inTime(entry.run, entry.at, "begun")
      marked.add(entry.run)
    } else if (entry.kind === "started") {
      const { run } = entry
      started.add(run)
      if (of(run) !== undefined) that(marked.has(run), () => `run ${run} was begun unnoticed`)
    }
  }
  const parents = new Set(runs.values().map(({ shard }) => shard?.parent))
  for (const { finishedAt, id, state } of runs.values()) {
    const deadline = of(id)
    const endedAt = finishedAt && millis(finishedAt)
    if (state === "Expired") {
      that(!started.has(id), () => `run ${id} has expired, and was begun`)
      const said = clock.latest(endedAt!, endedAt! + rounding)
      that(
        deadline !== undefined && said >= deadline - rounding,
        () => `run ${id} has expired at ${said}, and had until ${deadline}`,
      )
    }
    // Who was begun, or stands for others, is let be.
    if (deadline === undefined || isLetBe(id) || parents.has(id)) continue
    const passed = clock.when(deadline) ?? -Infinity
    const late = Math.max(passed, calmFrom) + soonMillis
    that(
      Run.isFinal(state) && endedAt! <= late,
      () => `run ${id} is ${state} since ${endedAt}, and nobody had begun it by ${deadline}`,
    )
  }
}

/**
 * A change that was confirmed holds: the run has that level in the end. Its deadline is changed before it
 * was granted and before that has passed, and who is told that it is too late was.
 */
export const R35: Checker = (outcome, that) => {
  const { clock, kept: { runs }, ledger } = outcome
  const deadlines = new Map<RunId, number | undefined>(submittedDeadlines(outcome))
  const levels = new Map<RunId, number>()
  const granted = new Set<RunId>()
  for (const entry of ledger.entries) {
    if (entry.kind === "granted") granted.add(entry.run)
    if (entry.kind !== "changed") continue
    const { answer, at, deadlineMillis, level, run } = entry
    const now = clock.said(at)
    const left = (deadlines.get(run) ?? Infinity) - now
    if (answer === "begun") {
      that(
        granted.has(run),
        () => `the deadline of run ${run} was not changed, nobody was granted it`,
      )
    } else if (answer === "late") {
      that(
        left <= rounding,
        () => `the deadline of run ${run} was not changed, ${left} ms before it`,
      )
    } else if (answer === "confirmed") {
      if (level !== undefined) levels.set(run, level)
      if (deadlineMillis === undefined) continue
      that(!granted.has(run), () => `run ${run} was granted, and got another deadline`)
      that(
        left >= -rounding,
        () => `run ${run} got another deadline ${-left} ms after its last one`,
      )
      deadlines.set(run, deadlineMillis === null ? undefined : now + deadlineMillis)
    }
  }
  for (const [run, level] of levels) {
    const kept = runs.get(run)
    that(kept?.level === level, () => `run ${run} got level ${level}, and has ${kept?.level}`)
  }
}

/** Each change makes another revision, and who names one changes only that. */
export const R36: Checker = ({ kept: { runs }, ledger }, that) => {
  const revisions = new Map<RunId, number>()
  for (const { answer, revision, run } of ledger.of("changed")) {
    const present = revisions.get(run) ?? 1
    const isPresent = revision === undefined || revision === present
    if (answer === "stale") {
      that(!isPresent, () => `run ${run} is at ${present}, and a change of that was stale`)
    } else if (answer === "confirmed") {
      that(isPresent, () => `run ${run} was changed at ${present} by who knew it at ${revision}`)
      revisions.set(run, present + 1)
    }
  }
  for (const [run, revision] of revisions) {
    const kept = runs.get(run)?.revision
    that(
      kept === revision,
      () => `run ${run} is at revision ${kept}, and was changed to ${revision}`,
    )
  }
}

/** What is handed over, and has hooks that give back what it took. */
import type { Conclusion } from "../../domain/Conclusion.ts"
import * as Run from "../../domain/Run.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Entry, HookName } from "../Ledger.ts"
import type { Outcome } from "../Outcome.ts"
import { lentMillis, policyOf, tasks } from "../tasks.ts"
import type { Checker, That } from "./Invariant.ts"
import { slackMillis } from "./Liveness.ts"
import { endsFirst, leftAt } from "./tenures.ts"

type Of<K extends Entry["kind"]> = Extract<Entry, { readonly kind: K }>

type Concluded = NonNullable<Of<"granted">["concluded"]>

/** Their order. */
const hookNames: ReadonlyArray<HookName> = ["prepare", "rollback", "clean", "summary"]

/** Those that are carried out once it is known how it ends, by that. */
const hooksOf: Record<Conclusion["state"], ReadonlyArray<HookName>> = {
  Succeeded: ["clean", "summary"],
  Failed: ["rollback", "clean", "summary"],
  TimedOut: ["rollback", "clean", "summary"],
  Cancelled: ["clean"],
}

const reportOf: Record<Conclusion["state"], string> = {
  Succeeded: "Succeed",
  Failed: "GiveUp",
  TimedOut: "TimeOut",
  Cancelled: "Abort",
}

interface Grant {
  readonly fence: number
  readonly incarnation: number
  readonly concluded: Concluded | undefined
  readonly hooks: Array<HookName>
  /** It hands over: what is left is for a later grant. */
  isMarked: boolean
  /** Somebody has said how the run ended, before its holder had said that it hands it over. */
  isToldEarly: boolean
}

/** A run, since it was made or revived. */
interface Loan {
  grant?: Grant
  /** Its present grant has handed it over, or is about to, and its hooks are left. */
  isMarked: boolean
  /** Since when something outside has it. */
  awaitsSince?: number
  /** How it ends, once that is known and its hooks are left. */
  known?: Conclusion["state"]
  /** What was left when that was concluded last. */
  phase?: Conclusion["phase"]
  /** Whoever goes on with what was concluded was asked to stop. */
  isStopping: boolean
  isPutDown: boolean
  isNotified: boolean
  losses: number
  ends?: ReadonlyArray<Run.StateName>
}

const fresh = (): Loan => ({
  isMarked: false,
  isStopping: false,
  isPutDown: false,
  isNotified: false,
  losses: 0,
})

/**
 * While a run is handed over none of its hooks is called, and nobody is granted it. Once it is known how it
 * ends, by the first notice, the end of its time or a cancel, whoever is granted it next gives back what it
 * took, and no more than that; then it ends so, and is not granted any more. Until then it keeps its place
 * of a gate.
 *
 * It ends without that where who was giving it back is lost once too often, or after a cancel; and where
 * somebody has put it down for that, or cancels what a lost one had begun to give back.
 */
export const R43: Checker = (outcome, that) => {
  const { kept: { runs }, ledger } = outcome
  const loans = new Map<RunId, Loan>()
  const grants = new Map<string, Grant>()
  for (const entry of endsFirst(ledger.entries)) {
    if (!("run" in entry) || entry.run === undefined) continue
    const { run } = entry
    if (runs.get(run)?.task !== tasks.lent.name) continue
    const loan = loans.get(run) ?? fresh()
    loans.set(run, loan)
    if (entry.kind === "granted") {
      const { concluded, fence, incarnation } = entry
      // A round that is sent again hands out the same grant.
      if (loan.grant?.fence === fence && loan.grant.incarnation === incarnation) continue
      passedGate(outcome, loans, entry, that)
      isGranted(loan, entry, that)
      loan.grant = { fence, incarnation, concluded, hooks: [], isMarked: false, isToldEarly: false }
      grants.set(`${run} ${fence}`, loan.grant)
    } else if (entry.kind === "marked") isMarked(loan, entry, that)
    else if (entry.kind === "settled") {
      if (entry.answer === "applied") isSettled(loan, entry, that)
    } else if (entry.kind === "notified") isNotified(loan, entry, that)
    else if (entry.kind === "expired") isExpired(outcome, loan, entry, that)
    else if (entry.kind === "cancelled") isCancelled(loan, entry, that)
    else if (entry.kind === "ordered") loan.isPutDown ||= entry.order === "suspend"
    else if (entry.kind === "freed") isFreed(loan, entry, that)
    else if (entry.kind === "revived") {
      // What has not ended is let be.
      if (loan.ends !== undefined) loans.set(run, fresh())
    } else if (entry.kind === "hooked" || entry.kind === "started") {
      const grant = grants.get(`${run} ${entry.fence}`)
      if (grant === undefined) continue
      if (entry.kind === "hooked") isHooked(outcome, grant, entry, that)
      else {
        that(
          grant.concluded === undefined,
          () => `run ${run} was begun again under fence ${grant.fence}, which was for its hooks`,
        )
      }
    }
  }
  for (const [run, { ends, known }] of loans) {
    const state = runs.get(run)?.state
    if (known === undefined || ends === undefined) continue
    that(
      ends.includes(state!),
      () => `run ${run} is ${state}, and was to end as ${ends.join(", ")}`,
    )
  }
}

const passedGate = (
  { kept: { runs } }: Outcome,
  loans: ReadonlyMap<RunId, Loan>,
  { run }: Of<"granted">,
  that: That,
): void => {
  const { gate } = runs.get(run)!
  for (const [other, { ends, isMarked, known }] of loans) {
    if (other === run || ends !== undefined || runs.get(other)!.gate !== gate) continue
    that(
      !isMarked && known === undefined,
      () => `run ${run} was granted, and run ${other} kept its place although it was handed over`,
    )
  }
}

const isGranted = (
  { ends, isMarked, known }: Loan,
  { concluded, fence, run }: Of<"granted">,
  that: That,
): void => {
  that(ends === undefined, () => `run ${run} was granted with fence ${fence}, and had ended`)
  that(
    !isMarked || known !== undefined,
    () => `run ${run} was granted with fence ${fence} while it was handed over`,
  )
  that(
    known === undefined || concluded?.state === known,
    () => `run ${run} was to end as ${known}, and was granted to end as ${concluded?.state}`,
  )
}

const isMarked = (loan: Loan, { concluded, fence, run }: Of<"marked">, that: That): void => {
  if (concluded === undefined) return
  const { grant, known } = loan
  if (concluded.phase !== "handedOver") {
    loan.phase = concluded.phase
    that(
      known === undefined || concluded.state === known,
      () => `run ${run} was to end as ${known}, and was concluded to end as ${concluded.state}`,
    )
  } else if (grant?.fence === fence) {
    loan.isMarked = grant.isMarked = true
    const early = grant.hooks.find((what) => what !== "prepare")
    that(early === undefined, () => `run ${run} was handed over after its ${early}`)
  }
}

const isSettled = (
  loan: Loan,
  { at, fence, report, run, state }: Of<"settled">,
  that: That,
): void => {
  const { grant, known } = loan
  const isCleaned = grant?.fence === fence && grant.hooks.includes("clean")
  if (report === "Await") {
    loan.awaitsSince = at
    if (state === "Cancelled") {
      loan.ends = [state]
      that(isCleaned, () => `run ${run} was cancelled as it was handed over, and not cleaned`)
    } else {
      that(loan.isMarked, () => `run ${run} was handed over, and nobody keeps that hooks are left`)
    }
    return
  }
  that(
    !loan.isMarked || known !== undefined,
    () => `run ${run} was handed over, and then it was said of it: ${report}`,
  )
  if (!Object.values(reportOf).includes(report)) {
    // Its present grant was its last.
    if (loan.isStopping) loan.ends = ["Cancelled"]
    return
  }
  loan.ends = [known ?? []].flat()
  if (known === undefined) return
  if (loan.isStopping) loan.ends = [known, "Cancelled"]
  that(
    report === reportOf[known],
    () => `run ${run} was to end as ${known}, and it was said of it: ${report}`,
  )
  that(isCleaned, () => `run ${run} has ended under fence ${fence}, and was not cleaned`)
}

const isNotified = (loan: Loan, { answer, notice, run, state }: Of<"notified">, that: That) => {
  if (answer === "duplicate") {
    that(loan.isNotified, () => `run ${run} was said to have been notified of, and was not`)
  }
  if (answer !== "applied") return
  that(
    loan.known === undefined && loan.ends === undefined,
    () => `a notice of run ${run} counted when it was known how it ends`,
  )
  loan.isNotified = true
  if (loan.isMarked) return isKnown(loan, notice, { run, state }, that)
  loan.ends = [state]
  if (loan.grant !== undefined) loan.grant.isToldEarly = true
}

/** How one ends that was handed over. */
const isKnown = (
  loan: Loan,
  known: Conclusion["state"],
  { run, state }: { readonly run: RunId; readonly state: string },
  that: That,
): void => {
  loan.known = known
  that(!Run.isFinal(state), () => `run ${run} has ended as ${state}, and its hooks were left`)
}

const isExpired = (
  { clock }: Outcome,
  loan: Loan,
  { at, run, state }: Of<"expired">,
  that: That,
): void => {
  that(
    loan.known === undefined,
    () => `the time of run ${run} was up when it was known how it ends`,
  )
  if (!loan.isMarked) {
    if (Run.isFinal(state)) loan.ends = [state]
    return
  }
  isKnown(loan, "TimedOut", { run, state }, that)
  const { awaitsSince } = loan
  that(awaitsSince !== undefined, () => `the time of run ${run} was up before it was handed over`)
  if (awaitsSince === undefined) return
  const early = clock.said(awaitsSince) + lentMillis - clock.latest(awaitsSince, at)
  // A storage may keep whole milliseconds.
  that(early < 2, () => `the time of run ${run} was up ${early} ms too early`)
}

const isCancelled = (
  loan: Loan,
  { answer, isStopping, run, state }: Of<"cancelled">,
  that: That,
): void => {
  if (answer === "ended") return
  const { isPutDown, known, phase } = loan
  if (known === undefined && loan.isMarked) isKnown(loan, "Cancelled", { run, state }, that)
  else if (Run.isFinal(state)) {
    that(
      known === undefined || phase !== undefined || isPutDown,
      () => `run ${run} was cancelled, and its hooks were left`,
    )
    loan.ends = [state]
  } else loan.isStopping ||= isStopping
}

const isFreed = (loan: Loan, { fence, run, state = "Ready" }: Of<"freed">, that: That): void => {
  if (loan.grant?.fence !== fence) return
  loan.losses++
  const { known, losses } = loan
  // Nobody knows whether it was handed over, so it is carried out again.
  if (known === undefined) loan.isMarked = false
  if (!Run.isFinal(state)) return
  loan.ends = [state]
  if (known === undefined) return
  that(
    state === known,
    () => `run ${run} was to end as ${known}, and has ended as ${state} with its holder`,
  )
  that(
    losses > policyOf(tasks.lent.name).crashesMax || loan.isStopping,
    () => `run ${run} has ended with its holder, the ${losses}. it lost, and its hooks were left`,
  )
}

const isHooked = (
  outcome: Outcome,
  grant: Grant,
  { at, ended, fence, run, what }: Of<"hooked">,
  that: That,
): void => {
  const { concluded, hooks, incarnation, isToldEarly } = grant
  const place = (hook: HookName) => hookNames.indexOf(hook)
  that(
    hooks.every((before) => place(before) < place(what)),
    () => `the ${what} of run ${run} came after its ${hooks.at(-1)} under fence ${fence}`,
  )
  hooks.push(what)
  if (concluded !== undefined) {
    const left = hooksOf[concluded.state].filter((hook) =>
      hook !== "rollback" || concluded.phase !== "cleaning"
    )
    that(
      left.includes(what),
      () => `${what} of run ${run} was called, and it was to end as ${concluded.state}`,
    )
    const told = concluded.state === "Cancelled" ? "Stopped" : concluded.state
    that(
      ended === undefined || ended === told,
      () => `the ${what} of run ${run} was told ${ended}, and it was to end as ${told}`,
    )
  } else if (isToldEarly) {
    that(
      what === "prepare" || what === "clean",
      () => `the ${what} of run ${run} was called after somebody had said how it ended`,
    )
  } else if (what !== "prepare" && grant.isMarked) {
    that(
      isGone(outcome, incarnation, at),
      () => `the ${what} of run ${run} was called by fence ${fence}, which had handed it over`,
    )
  }
}

/** Whoever has left, or was silent for its ttl, may have lost what it holds, and have been told so. */
const isGone = ({ clock, ledger }: Outcome, incarnation: number, at: number): boolean => {
  const beats = ledger.of("beat").filter((beat) => beat.incarnation === incarnation)
  const { ttlMillis = 0 } = beats.find(({ ttlMillis }) => ttlMillis !== undefined) ?? {}
  const heard = Math.max(
    ...beats.filter((beat) => beat.isAlive && beat.at <= at).map(({ at }) => at),
  )
  return (leftAt(ledger).get(incarnation) ?? Infinity) <= at ||
    heard + ttlMillis - slackMillis <= at || !clock.isSteady(at - ttlMillis - slackMillis, at)
}

/** Whether a run was handed over, with hooks left, at some time from one instant to another. */
export const handedOver = ({ kept: { runs }, ledger }: Outcome) => {
  const marked = Map.groupBy(
    ledger.of("marked").filter(({ concluded }) => concluded?.phase === "handedOver"),
    ({ run }) => run,
  )
  return (run: RunId, from: number, to: number): boolean =>
    marked.get(run)?.some(({ at }) => at <= to) === true &&
    (runs.get(run)?.finishedAt?.epochMilliseconds ?? Infinity) >= from
}

/**
 * What a task is able to do, told from trials of it, and what it does otherwise than Belfry promises
 * or expects. Pure: `Conformity` carries the trials out.
 */
import { Equal, Formatter } from "effect"
import type { Failure, RunView } from "../core/domain/RunView.ts"
import type { Call, Seen, Step } from "./Trial.ts"

/** In the order in which they are told. */
export const abilities = [
  "run",
  "prepare",
  "rollback",
  "clean",
  "summary",
  "progress",
  "log",
  "checkpoint",
  "suspend",
  "cancel",
  "timeout",
  "handOver",
  "repeat",
] as const
export type Ability = (typeof abilities)[number]

export type Verdict =
  | { readonly verdict: "has"; readonly note?: string }
  | { readonly verdict: "hasNot"; readonly note?: string }
  | { readonly verdict: "fails"; readonly reason: string; readonly remedy: string }

/** One ability of a task. */
export type Row = { readonly ability: Ability } & Verdict

/** What was seen, each in a world of its own; absent is what there was nothing to try for. */
export interface Trials {
  readonly plain: Seen
  readonly isIdempotent: boolean
  readonly isAtMostOnce: boolean
  readonly hasTimeout: boolean
  /** Its handler was kept from running. */
  readonly unbegun?: Seen | undefined
  /** It has failed for good after its handler had succeeded. */
  readonly failed?: Seen | undefined
  /** As `failed`, and its rollback came twice. */
  readonly undoneTwice?: Seen | undefined
  /** As `plain`, and its clean came twice. */
  readonly cleanedTwice?: Seen | undefined
  /** It was rolled back on demand. */
  readonly demanded?: Seen | undefined
  readonly cancelled?: Seen | undefined
  readonly timedOut?: Seen | undefined
  readonly suspended?: Seen | undefined
  /** Its executor was lost before it could report. */
  readonly lost?: Seen | undefined
}

interface Flaw {
  readonly reason: string
  readonly remedy: string
}

const has = (note?: string): Verdict => ({ verdict: "has", ...(note !== undefined && { note }) })
const hasNot = (note?: string): Verdict => ({
  verdict: "hasNot",
  ...(note !== undefined && { note }),
})
const fails = (reason: string, remedy: string): Verdict => ({ verdict: "fails", reason, remedy })

const unless = (flaw: Flaw | undefined, otherwise: Verdict): Verdict =>
  flaw === undefined ? otherwise : { verdict: "fails", ...flaw }

const flawIn = (...flaws: ReadonlyArray<() => Flaw | undefined>): Flaw | undefined => {
  for (const flaw of flaws) {
    const found = flaw()
    if (found !== undefined) return found
  }
  return undefined
}

export const callsOf = ({ calls }: Seen, step: Step): ReadonlyArray<Call> =>
  calls.filter((call) => call.step === step)

const told = ({ message, tag }: Failure) => `${tag}: ${message}`

/** Why a call of the step has not succeeded. */
const failureIn = (seen: Seen | undefined, step: Step): Failure | undefined => {
  if (seen?.stuck.has(step)) return { tag: "Stuck", message: "it goes on and on" }
  const call = seen?.calls.find((call) => call.step === step && !call.hasSucceeded)
  return call && (call.failure ?? interrupted)
}

const interrupted: Failure = {
  tag: "Interrupted",
  message: "it took longer than the minute, or the time of an attempt, that a hook has",
}

/** What is otherwise outside than it was before the run. */
const leftBehind = (seen: Seen | undefined): string | undefined =>
  seen?.end === undefined || Equal.equals(seen.before, seen.after)
    ? undefined
    : `outside it was ${shown(seen.before)} before the run, and is ${shown(seen.after)} after it`

const shown = (value: unknown) => {
  const text = Formatter.format(value)
  return text.length <= shownMax ? text : `${text.slice(0, shownMax)}…`
}
const shownMax = 300

const isMissing = ({ plain: { hooks } }: Trials, step: Step) => !hooks.has(step)

const judges: Readonly<Record<Ability, (trials: Trials) => Verdict>> = {
  run: ({ plain: { calls, end, isHandedOver, misfit, report } }) => {
    if (end === undefined) {
      return fails(
        `it does not come to an end: ${report}`,
        "Let it end for this payload, or name a longer waitAtMost, or give its policy a timeout",
      )
    }
    const { failure, state } = end
    if (misfit !== undefined) {
      return fails(misfit, "Answer with what the schemas of the task describe")
    }
    if (state === "Succeeded") return has()
    if (calls.every(({ step }) => step !== "run")) return hasNot("it was never prepared for")
    if (isHandedOver) {
      return has("it hands over: how that ends was not tried, as no answer is given")
    }
    if (failure?.error !== undefined) return has(`its answer is the declared error ${failure.tag}`)
    return failure?.tag === "ResultRefused"
      ? fails(failure.message, "Answer with what the success schema of the task describes")
      : fails(
        `it ends as ${endOf(end)}`,
        "Mend it, declare the error in the task, or try a payload that it can carry out",
      )
  },

  prepare: (trials) => {
    if (isMissing(trials, "prepare")) return hasNot()
    const { plain, unbegun } = trials
    const hasPrepared = callsOf(plain, "prepare").some(({ hasSucceeded }) => hasSucceeded)
    const failure = hasPrepared ? undefined : failureIn(plain, "prepare")
    const left = leftBehind(unbegun)
    return unless(
      flawIn(
        () =>
          failure && {
            reason: `it fails with ${told(failure)}`,
            remedy: "Mend it, or try a payload that it can be prepared for",
          },
        () =>
          left === undefined ? undefined : {
            reason: `what it takes stays when the attempt fails after it: ${left}`,
            remedy: "Give it back in clean, which comes whenever prepare had begun",
          },
      ),
      has(),
    )
  },

  rollback: (trials) => {
    if (isMissing(trials, "rollback")) return hasNot()
    const { demanded, failed, unbegun, undoneTwice } = trials
    const fault = (seen: Seen | undefined, when: string, remedy: string) => () => {
      const failure = failureIn(seen, "rollback")
      if (failure !== undefined) return { reason: `${when} it fails with ${told(failure)}`, remedy }
      // What `prepare` takes is for `clean` to give back.
      const left = seen === unbegun ? undefined : leftBehind(seen)
      return left === undefined
        ? undefined
        : { reason: `${when} it does not undo all: ${left}`, remedy }
    }
    return unless(
      flawIn(
        fault(failed, "after a failure", "Let it undo what the handler did, and succeed"),
        fault(
          unbegun,
          "where the handler did not come to anything",
          "It comes whatever was done before: let it undo what it finds, and nothing where there is nothing",
        ),
        fault(
          demanded,
          "asked for after a success",
          "Let it undo a success too; CurrentRun.result has what the run had answered",
        ),
        () =>
          demanded === undefined || demanded.undone?.failure?.tag === "RolledBack" ? undefined : {
            reason: demanded.undone === undefined
              ? "asked for after a success it does not come to an end"
              : `asked for after a success it ends as ${endOf(demanded.undone)}`,
            remedy: "Let it undo a success too",
          },
        fault(
          undoneTwice,
          "when it comes twice, as it may after the loss of an executor,",
          "Let it do nothing where there is nothing left to undo",
        ),
      ),
      has(
        demanded === undefined ? "not tried on demand, as there was no success to undo" : undefined,
      ),
    )
  },

  clean: (trials) => {
    if (isMissing(trials, "clean")) return hasNot()
    const { cancelled, cleanedTwice, demanded, failed, plain, unbegun } = trials
    const fault = (seen: Seen | undefined, when: string, times: number) => () => {
      if (seen?.end === undefined) return undefined
      const failure = failureIn(seen, "clean")
      if (failure !== undefined) {
        return {
          reason: `${when} it fails with ${told(failure)}`,
          remedy: times > 1
            ? "It may come again after the loss of an executor: let it do nothing where nothing is left"
            : "Nobody calls it again then: let it succeed however the attempt ended",
        }
      }
      // Of what is stuck nobody knows yet how it ends.
      if (seen.stuck.size > 0) return undefined
      const counts = cleanedTogether(seen).map((calls) => calls.filter(isClean).length)
      const odd = counts.find((count) => count !== times)
      return odd === undefined ? undefined : {
        reason: `${when} it comes ${odd} times`,
        remedy: "This is a mistake of Belfry, not of the task: please report it",
      }
    }
    return unless(
      flawIn(
        fault(plain, "at the end", 1),
        fault(failed, "after a failure", 1),
        fault(unbegun, "where the handler did not come to anything", 1),
        fault(cancelled, "after a cancel", 1),
        fault(demanded, "after a rollback on demand", 1),
        fault(cleanedTwice, "when it comes twice", 2),
      ),
      has(),
    )
  },

  summary: (trials) => {
    if (isMissing(trials, "summary")) return hasNot()
    const { failed, plain } = trials
    const fault = (seen: Seen | undefined, when: string): () => Flaw | undefined => () => {
      const failure = failureIn(seen, "summary")
      return failure && {
        reason: `${when} it fails with ${told(failure)}`,
        remedy: "Let it tell of every end there is: `failure` is there only if it has failed",
      }
    }
    return unless(flawIn(fault(plain, "at the end"), fault(failed, "after a failure")), has())
  },

  progress: ({ plain }) => plain.hasProgress ? has() : hasNot(),
  log: ({ plain }) => plain.hasLines ? has() : hasNot(),

  checkpoint: ({ plain, suspended }) => {
    const whole = callsOf(plain, "run").at(-1)?.kept ?? []
    if (whole.length === 0) return hasNot()
    if (suspended?.isSuspended !== true) return has("not tried: it could not be put down")
    const resumed = callsOf(suspended, "run").slice(1)
    const keepsAllAgain = resumed.some(({ kept }) =>
      whole.length > 1 && whole.every((checkpoint, at) => kept[at] === checkpoint)
    )
    return keepsAllAgain || !suspended.hasReadCheckpoint
      ? fails(
        keepsAllAgain
          ? "resumed, it keeps every checkpoint again: it begins anew"
          : "resumed, it does not ask for the checkpoint: it begins anew",
        "Begin with CurrentRun.checkpoint, which has what `keep` was given last",
      )
      : has()
  },

  suspend: ({ plain, suspended }) => {
    if (suspended === undefined) return hasNot()
    const wentOn = goneOn(suspended)
    if (wentOn !== undefined) return fails(wentOn, interruptible)
    const { end, isSuspended, misfit } = suspended
    const isPutDown = isSuspended &&
      !(suspended.isHandedOver && callsOf(suspended, "run").length === 1)
    if (!isPutDown) return hasNot("it was at its end before it could be put down")
    const isAsGood = end?.state === plain.end?.state && misfit === undefined
    return isAsGood ? has() : fails(
      end === undefined
        ? "resumed, it does not come to an end"
        : `resumed, it ends as ${endOf(end)}${misfit === undefined ? "" : `: ${misfit}`}`,
      "Let it go on from its checkpoint, or begin anew without harm",
    )
  },

  cancel: ({ cancelled }) => stopped(cancelled, "Cancelled"),

  timeout: ({ hasTimeout, timedOut }) =>
    hasTimeout ? stopped(timedOut, "TimedOut") : hasNot("its policy has none"),

  handOver: ({ plain }) => plain.isHandedOver ? has() : hasNot(),

  repeat: ({ isAtMostOnce, isIdempotent, lost }) => {
    if (isAtMostOnce) return hasNot("it is carried out at most once")
    if (lost?.end === undefined || lost.answers.length === 0) {
      return hasNot("it has no answer of which its executor could be lost")
    }
    const { answers: [first, second], between } = lost
    const differs = lost.answers.length < 2
      ? `done again it ends as ${endOf(lost.end)}`
      : first !== second
      ? `it answers ${first ?? "nothing"}, and ${second ?? "nothing"} when it is done again`
      : Equal.equals(between[0], between[1])
      ? undefined
      : `outside it is ${shown(between[0])} when it was done once, and ${shown(between[1])} when ` +
        "it was done again"
    if (differs === undefined) return has()
    return isIdempotent ? fails(differs, repeatable) : hasNot(differs)
  },
}

const repeatable =
  "Use CurrentRun.id, or its idempotencyKey, as the key of what it does: an executor may be lost " +
  "before it has reported, and then it is done again"

const interruptible =
  "Let it be interrupted: leave Effect.uninterruptible for steps that must not be torn, and pass " +
  "`signal` on to what a promise waits for"

/** That the task's code went on although it was told to stop. */
const goneOn = ({ stuck }: Seen) =>
  stuck.has("run") || stuck.has("prepare") ? "told to stop, it goes on: it is stuck" : undefined

const stopped = (seen: Seen | undefined, state: "Cancelled" | "TimedOut"): Verdict => {
  const wentOn = seen && goneOn(seen)
  if (wentOn !== undefined) return fails(wentOn, interruptible)
  if (seen?.isHandedOver) return hasNot("it hands over before it can be stopped")
  return seen?.end?.state === state ? has() : hasNot("it was at its end before it could be stopped")
}

const endOf = ({ failure, state }: RunView) =>
  failure === undefined ? state : `${state} with ${told(failure)}`

const isClean = ({ step }: Call) => step === "clean"

/** The calls for each grant. */
const grantsOf = ({ calls }: Seen): ReadonlyArray<ReadonlyArray<Call>> => [
  ...Map.groupBy(calls, ({ fence }) => fence).values(),
]

/** As `grantsOf`; what is handed over is cleaned with the grant that its hooks are carried out with. */
const cleanedTogether = (seen: Seen): ReadonlyArray<ReadonlyArray<Call>> =>
  grantsOf(seen).reduce<ReadonlyArray<ReadonlyArray<Call>>>((before, calls) => {
    const last = before.at(-1)
    const isLeft = last !== undefined && last.some(({ isHandedOver }) => isHandedOver) &&
      !last.some(isClean)
    return isLeft ? [...before.slice(0, -1), [...last, ...calls]] : [...before, calls]
  }, [])

export const of = (trials: Trials): ReadonlyArray<Row> =>
  abilities.map((ability) => ({ ability, ...judges[ability](trials) }))

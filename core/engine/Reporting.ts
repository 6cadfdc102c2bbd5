/**
 * What the end of an attempt is reported as, and the reports until they are taken out.
 *
 * 1. What a run said is told before its report: that waits meanwhile.
 * 2. Of what was abandoned nothing is reported; what it said is evidence.
 */
import { Exit, Random } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import * as Breaker from "../domain/Breaker.ts"
import type * as GivenBack from "../domain/GivenBack.ts"
import * as Retry from "../domain/Retry.ts"
import type { Failure } from "../domain/RunView.ts"
import type { TaskName } from "../domain/Task.ts"
import type { Grant, Report } from "../services/RunStorage.ts"
import type { Ages } from "./Ages.ts"
import {
  type Attempt,
  isSpent,
  stoppedHalfway,
  timedOut,
  tookTooLong,
  unsuccessfulOf,
} from "./Attempt.ts"
import type { Unsuccessful } from "./Handler.ts"
import type { News } from "./News.ts"
import { type Stop, stopOf } from "./Stopping.ts"
import type { Telling } from "./Telling.ts"

export interface Reporting {
  readonly report: (made: Report) => void
  readonly release: (grant: Grant, why: GivenBack.Why) => void
  readonly discard: (grant: Grant, failure: Failure) => void
  /** As the attempt ended. */
  readonly ended: (
    attempt: Attempt,
    exit: Exit.Exit<string | undefined, Unsuccessful>,
  ) => void
  /** As if it had ended, while its handler goes on. */
  readonly stuck: (attempt: Attempt) => void
  /** What it is reported as that ends so. */
  readonly unsuccess: (attempt: Attempt, unsuccessful: Unsuccessful) => Report
  readonly isRetried: (attempt: Attempt, unsuccessful: Unsuccessful) => boolean
  /** Nothing more is to come of what these said. */
  readonly told: (tellings: ReadonlyArray<Telling>) => void
  readonly has: () => boolean
  readonly take: (max: number) => ReadonlyArray<Report>
  /** Those that were not taken out. */
  readonly all: () => ReadonlyArray<Report>
  readonly count: () => number
  /** How many of them tell a breaker of a call. */
  readonly calls: () => number
}

export const make = (
  { ages, monotonic, news, onChange, onGivenBack, random }: {
    readonly ages: Ages
    readonly monotonic: () => number
    readonly news: News
    readonly onChange: () => void
    /** A handler cannot carry out a run of its task that others can. */
    readonly onGivenBack: (task: TaskName) => void
    readonly random: typeof Random.Random.Service
  },
): Reporting => {
  let reports: Array<Report> = []
  /** Reports that wait until what their run said was told. */
  const held = new Map<Telling, Report>()

  const report = (made: Report) => {
    reports.push(made)
    onChange()
  }

  /** After what the run has said. */
  const reportOn = ({ telling }: Attempt, made: Report) => {
    if (telling === undefined) return report(made)
    telling.finish()
    if (telling.isOver) return report(made)
    held.set(telling, made)
    news.add(telling, true)
  }

  const ended = (attempt: Attempt, exit: Exit.Exit<string | undefined, Unsuccessful>) => {
    const stop = stopOf(attempt.stopping)
    if (stop?._tag === "Abandon") return abandoned(attempt)
    const made = Exit.isSuccess(exit)
      ? success(attempt, exit.value)
      : stop !== undefined
      ? stopped(attempt, stop)
      : unsuccess(attempt, unsuccessfulOf(exit))
    reportOn(attempt, made)
  }

  const abandoned = ({ telling }: Attempt) => {
    telling?.finish()
    if (telling?.isOver === false) news.add(telling, true)
    onChange()
  }

  const stuck = (attempt: Attempt) => {
    const { handler: { policy }, outcome, stopping } = attempt
    const stop = stopOf(stopping)
    if (stop?._tag === "Abandon") onChange()
    else if (outcome !== undefined) ended(attempt, outcome)
    else if (stop !== undefined) reportOn(attempt, stopped(attempt, stop))
    else reportOn(attempt, unsuccess(attempt, tookTooLong(policy.timeoutMillis ?? 0, "stuck")))
  }

  const stopped = (attempt: Attempt, stop: Exclude<Stop, { _tag: "Abandon" }>): Report => {
    switch (stop._tag) {
      case "Cancel":
        return aborted(attempt, stop)
      case "Suspend":
        // What has not begun is put down by that as well, and its deadline still counts.
        return attempt.hasBegun ? putDown(attempt) : givenBack(attempt, "Suspending")
      case "HandOver":
        return handedOver(attempt)
      case "GiveBack":
        return isSpent(attempt) ? unsuccess(attempt, stoppedHalfway) : givenBack(attempt, stop.why)
      case "Postpone":
        return postponed(attempt)
    }
  }

  const success = (attempt: Attempt, result: string | undefined): Report => {
    const { grant: { fence, run }, kept } = attempt
    return {
      _tag: "Succeed",
      run,
      fence,
      ...(result !== undefined && { result }),
      ...(kept !== undefined && { kept }),
      ...calledIn(attempt, false),
    }
  }

  const unsuccess = (attempt: Attempt, unsuccessful: Unsuccessful): Report => {
    const { fence, run } = attempt.grant
    const { failure, isAnswer, isGivenBack, isTimeOut } = unsuccessful
    if (isGivenBack === true) {
      onGivenBack(attempt.grant.task)
      return givenBack(attempt, "PayloadNewer")
    }
    const delayMillis = delayOf(attempt, unsuccessful)
    const called = calledIn(attempt, !isAnswer)
    return delayMillis === undefined
      ? { _tag: isTimeOut ? "TimeOut" : "GiveUp", run, fence, failure, ...called }
      : { _tag: "Retry", run, fence, delayMillis, failure, ...called }
  }

  /** What the breaker of its task is told; a declared error is an answer like any other. */
  const calledIn = ({ grant, handler, passage, startedAt }: Attempt, isBad: boolean) => {
    const { breaker } = handler.policy
    const { key, epoch } = passage?._tag === "Open" ? passage : { key: undefined, ...grant }
    if (breaker === undefined || epoch === undefined) return {}
    return {
      call: {
        namespace: grant.namespace,
        breaker: Breaker.nameOf(breaker),
        ...(key !== undefined && { key }),
        epoch,
        isBad,
        millis: Math.round(monotonic() - startedAt),
      },
    }
  }

  /** Until it is tried again, if it is. Decided once, as hooks go by it before the report does. */
  const delayOf = (attempt: Attempt, { failure, isAnswer }: Unsuccessful) => {
    const { grant, handler: { policy: { retry } } } = attempt
    if (isAnswer || !Retry.covers(retry, failure.tag)) return undefined
    attempt.retriedIn ??= {
      millis: Retry.delayAfter(
        retry,
        grant.attempt - grant.crashes,
        random.nextDoubleUnsafe(),
        ages.of(grant),
      ),
    }
    return attempt.retriedIn.millis
  }

  return {
    report,
    release: ({ fence, run }, why) => report({ _tag: "Release", run, fence, why }),
    discard: ({ fence, run }, failure) => report({ _tag: "Discard", run, fence, failure }),
    ended,
    stuck,
    unsuccess,
    isRetried: (attempt, unsuccessful) => delayOf(attempt, unsuccessful) !== undefined,
    told: (tellings) => {
      for (const telling of tellings) {
        const waiting = held.get(telling)
        held.delete(telling)
        if (waiting !== undefined) report(waiting)
      }
    },
    has: () => reports.length > 0,
    take: (max) => {
      const taken = reports.slice(0, max)
      reports = reports.length > max ? reports.slice(max) : []
      return taken
    },
    all: () => [...held.values(), ...reports],
    count: () => held.size + reports.length,
    calls: () => callsIn(held.values()) + callsIn(reports),
  }
}

const aborted = (
  { grant: { fence, run } }: Attempt,
  { by }: Extract<Stop, { _tag: "Cancel" }>,
): Report => ({
  _tag: "Abort",
  run,
  fence,
  ...(by !== undefined && { failure: Blocking.replacedBy(by) }),
})

const putDown = ({ checkpoint, grant: { fence, run } }: Attempt): Report => ({
  _tag: "Yield",
  run,
  fence,
  ...(checkpoint !== undefined && { checkpoint }),
})

const givenBack = (attempt: Attempt, why: GivenBack.Why): Report => ({
  ...putDown(attempt),
  _tag: "Release",
  why,
})

const postponed = ({ grant: { fence, run }, passage }: Attempt): Report => ({
  _tag: "Postpone",
  run,
  fence,
  delayMillis: passage?._tag === "Closed" ? passage.retryInMillis : 0,
})

const handedOver = ({ awaitsMillis, grant: { fence, run } }: Attempt): Report => ({
  _tag: "Await",
  run,
  fence,
  ...(awaitsMillis !== undefined && { timeoutMillis: Math.ceil(awaitsMillis) }),
})

/** Whether it says of its run that it took too long. */
export const isOfTimeOut = (report: Report): boolean =>
  "failure" in report && report.failure?.tag === timedOut

/** How many of these reports tell a breaker of a call. */
export const callsIn = (reports: Iterable<Report>): number => {
  let count = 0
  for (const report of reports) if ("call" in report && report.call !== undefined) count++
  return count
}

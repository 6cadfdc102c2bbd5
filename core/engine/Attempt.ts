/**
 * One attempt at a run, from its grant to its end: what the pool knows of it, and what it needs of the pool.
 * How it is carried out is in `carryOut`, in which order its hooks come in `hooks`.
 */
import { Effect, Exit, type Fiber, Option } from "effect"
import type { Conclusion } from "../domain/Conclusion.ts"
import type * as GivenBack from "../domain/GivenBack.ts"
import type { Labels } from "../domain/Labels.ts"
import type { Grant, Kept } from "../services/RunStorage.ts"
import type { Passage } from "../services/Transport.ts"
import { failureOfCause } from "./failures.ts"
import type { Handler, Unsuccessful } from "./Handler.ts"
import * as Stopping from "./Stopping.ts"
import type { Telling } from "./Telling.ts"

export interface Attempt {
  readonly grant: Grant
  readonly handler: Handler
  readonly startedAt: number
  fiber: Fiber.Fiber<string | undefined, Unsuccessful> | undefined
  /** Whether, and why, it is to stop. */
  stopping: Stopping.Stopping
  /** When it must have ended, by the monotonic clock, or it is stuck. */
  stopBy: number
  /** When it has ended for others, if this process says nothing of it, by the same clock. */
  overdueAt: number
  /** Since when that stands. */
  overdueSince: number
  /** Whether user code may have been called. */
  hasBegun: boolean
  isStuck: boolean
  checkpoint: string | undefined
  kept: Kept | undefined
  /** How long it is handed over for at most. */
  awaitsMillis: number | undefined
  /** After which delay it is tried again, if it is, once that is decided. */
  retriedIn: { readonly millis: number | undefined } | undefined
  /** How the breaker of its key answered, if it stands behind one. */
  passage: Passage | undefined
  telling: Telling | undefined
  /** How it ended, while its hooks go on. Only a loss, or a shutdown, stops them. */
  outcome: Exit.Exit<string | undefined, Unsuccessful> | undefined
  /** The hook that goes on. */
  hook: Fiber.Fiber<unknown, unknown> | undefined
  /** The storage is told how it will end, and no code of the user goes on; or it has kept that. */
  concluding: "asked" | "kept" | undefined
  /** Whether it was marked that it is handed over, where the pool has done so as its handler goes on. */
  mark: Effect.Effect<boolean> | undefined
}

export const of = (grant: Grant, handler: Handler, startedAt: number): Attempt => ({
  grant,
  handler,
  startedAt,
  fiber: undefined,
  stopping: Stopping.going,
  stopBy: Infinity,
  overdueAt: Infinity,
  overdueSince: startedAt,
  hasBegun: false,
  isStuck: false,
  checkpoint: undefined,
  kept: undefined,
  awaitsMillis: undefined,
  retriedIn: undefined,
  passage: undefined,
  telling: undefined,
  outcome: undefined,
  hook: undefined,
  concluding: undefined,
  mark: undefined,
})

/** What an attempt needs of the pool that it is in. */
export interface Surroundings {
  readonly labels: Labels
  readonly now: () => number
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
  /** Whether user code may start. */
  readonly isFresh: () => boolean
  /** From now on it has so long, and some time to stop in. */
  readonly limit: (attempt: Attempt, millis: number | undefined) => void
  /** What it says. */
  readonly telling: (attempt: Attempt) => Telling
  readonly said: (attempt: Attempt) => void
  /** Keeps how the run will end. `false`: it is somebody else's by now. */
  readonly conclude: (grant: Grant, conclusion: Conclusion) => Effect.Effect<boolean>
  /** What its task keeps for a key. Its attempt ends there if somebody else may have the run by then. */
  readonly recall: (attempt: Attempt, key: string) => Effect.Effect<string | undefined>
  /** Whether it will be tried again after this. */
  readonly isRetried: (attempt: Attempt, unsuccessful: Unsuccessful) => boolean
}

export const advance = (attempt: Attempt, event: Stopping.Event) => {
  attempt.stopping = Stopping.advance(attempt.stopping, event)
}

/** Ends an attempt from within it. */
export const leave = (attempt: Attempt, stop: Stopping.Stop): Effect.Effect<never> =>
  Effect.suspend(() => {
    advance(attempt, { _tag: "Leaving", stop })
    return Effect.interrupt
  })

/** As `leave`, for somebody else to carry it out. */
export const giveBack = (attempt: Attempt, why: GivenBack.Why): Effect.Effect<never> =>
  Effect.suspend(() => leave(attempt, Stopping.giveBack(why)))

export const inTime = <A>(
  attempt: Attempt,
  around: Surroundings,
  work: Effect.Effect<A, Unsuccessful>,
  millis: number,
): Effect.Effect<A, Unsuccessful> =>
  Effect.suspend(() => {
    around.limit(attempt, millis)
    return Effect.timeoutOrElse(work, {
      duration: millis,
      orElse: () => Effect.fail(tookTooLong(millis)),
    })
  })

/** Whether it is handed over, and hooks are left. */
export const isToBeMarked = ({ handler: { hooks = {} }, stopping }: Attempt): boolean =>
  Stopping.isStoppedBy(stopping, "HandOver") &&
  (hooks.rollback ?? hooks.clean ?? hooks.summary) !== undefined

/** A retry that nobody was free for in time. */
export const begunTooLate = (withinMillis: number): Unsuccessful => ({
  failure: {
    tag: "RetryTooLate",
    message:
      `another attempt was to begin within ${withinMillis} ms of when the run first became due`,
  },
  isAnswer: true,
})

/**
 * Whether what was begun here may begin nowhere else: it is not given back, but has failed, as when its
 * executor is lost. What it was concluded to end as it ends as, wherever that is done.
 */
export const isSpent = ({ concluding, grant, handler, hasBegun, stopping }: Attempt): boolean =>
  Stopping.isStoppedBy(stopping, "GiveBack") && hasBegun && grant.conclusion === undefined &&
  concluding !== "kept" && handler.policy.delivery === "at-most-once"

export const stoppedHalfway: Unsuccessful = {
  failure: {
    tag: "ExecutorStopped",
    message: "its executor stopped while it was under way, and it begins at most once",
  },
  isAnswer: true,
}

/** How the failure is tagged of what took too long. */
export const timedOut = "TimedOut"

/** `stuck`: its handler goes on; `silent`: nobody knows, since its executor does not say. */
export const tookTooLong = (
  timeoutMillis: number,
  how: "interrupted" | "stuck" | "silent" = "interrupted",
): Unsuccessful => ({
  failure: {
    tag: timedOut,
    message: `the attempt took longer than its ${timeoutMillis} ms${became[how]}`,
  },
  isAnswer: false,
  isTimeOut: true,
})

const became = {
  interrupted: " and was interrupted",
  stuck: ", and its handler goes on although it was interrupted: it is stuck",
  silent: ", and its executor has not said what became of it",
}

export const unsuccessfulOf = (exit: Exit.Failure<unknown, Unsuccessful>): Unsuccessful => {
  const declared = Exit.findErrorOption(exit)
  return Option.isSome(declared)
    ? declared.value
    : { failure: failureOfCause(exit.cause), isAnswer: false }
}

/**
 * One attempt at a run, from its grant to its end: what its handler may know, what stops it, and the
 * order of its hooks.
 *
 * A handler without hooks is just run. With hooks the order is
 *
 * ```text
 * prepare ─▶ run ─▶ its outcome is known ─▶ rollback ─▶ clean ─▶ summary ─▶ it is reported
 * ```
 *
 * 1. `clean` comes whenever `prepare` had begun, however the attempt ended: what the one took, the
 *    other gives back.
 * 2. `rollback` comes when the run has failed for good, not between attempts.
 * 3. The outcome is stored before `rollback`, and again before `clean`, as a `Conclusion`. Whoever
 *    gets the run after the loss of its holder does only what is left; so a step may come twice, and
 *    `run` never comes after it. Only a success that has something to remember is not concluded: its
 *    state and its end are one step, so after a loss it is all done again.
 * 4. A rollback that fails makes the failure of the run `RollbackFailed`. A clean or summary that
 *    fails is a line of the log: what the run did is done.
 * 5. Of a run that is handed over nothing is given back yet: what `prepare` took is still in use. That it is
 *    handed over is marked first, and once it is known how it ended, whoever gets the run does what comes
 *    after an outcome. Where the mark is not taken, since the run was to stop or somebody has notified
 *    already, `clean` comes here. Until the mark is answered the hand-over is not reported, whoever stops it:
 *    a notice could end the run uncleaned. If no answer comes it is never reported, and the run goes the way
 *    of those whose holder is lost.
 * 6. A run of which somebody asks that it be rolled back (`Rollback`) comes with a conclusion too, so it
 *    begins with the rollback, and ends as `RolledBack`.
 */
import { Duration, Effect, Exit, Fiber, Option } from "effect"
import { type Conclusion, handedOver } from "../domain/Conclusion.ts"
import type * as GivenBack from "../domain/GivenBack.ts"
import type { Labels } from "../domain/Labels.ts"
import * as Progress from "../domain/Progress.ts"
import { Refused } from "../domain/Refused.ts"
import * as Rollback from "../domain/Rollback.ts"
import { checkpointMax, type Grant, type Kept } from "../services/RunStorage.ts"
import type { Passage } from "../services/Transport.ts"
import type { CurrentRun } from "./CurrentRun.ts"
import { failureOfCause } from "./failures.ts"
import type { Ended, Handler, Unsuccessful } from "./Handler.ts"
import { keptOf } from "./remembering.ts"
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

/** A rollback, a clean or a summary may take so long, or as long as an attempt if that is longer. */
const hookMillisMin = 60_000

export const carryOut = (
  attempt: Attempt,
  around: Surroundings,
): Effect.Effect<string | undefined, Unsuccessful> => {
  const { grant, handler } = attempt
  const run = contextOf(attempt, around)
  const { timeoutMillis } = handler.policy
  if (handler.hooks !== undefined || grant.conclusion !== undefined) {
    return withHooks(attempt, around, run)
  }
  const work = handler.carryOut(grant.payload, run)
  const timed = timeoutMillis === undefined ? work : inTime(attempt, around, work, timeoutMillis)
  return handler.opening === undefined ? timed : handler.opening(run, timed)
}

/** Whether somebody asked for the rollback that it is granted for. */
const isAsked = ({ conclusion }: Grant): boolean =>
  Rollback.askedOf(conclusion?.failure) !== undefined

const advance = (attempt: Attempt, event: Stopping.Event) => {
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

const contextOf = (attempt: Attempt, around: Surroundings): CurrentRun["Service"] => {
  const { grant, handler } = attempt
  const { timeoutMillis } = handler.policy
  return {
    id: grant.run,
    namespace: grant.namespace,
    task: grant.task,
    attempt: grant.attempt,
    fence: grant.fence,
    payload: grant.payload,
    slot: grant.slot,
    idempotencyKey: grant.idempotencyKey,
    shard: grant.shard,
    labels: around.labels,
    timeoutMillis,
    deadline: timeoutMillis === undefined ? undefined : around.wallClock() + timeoutMillis,
    checkpoint: grant.checkpoint,
    result: isAsked(grant) ? grant.conclusion?.result : undefined,
    keep: (checkpoint) =>
      checkpoint.length > checkpointMax ? Effect.fail(tooLong(checkpoint)) : Effect.sync(() => {
        attempt.checkpoint = checkpoint
      }),
    recall: (key) => around.recall(attempt, key),
    remember: (key, state) =>
      Effect.flatMap(Effect.fromResult(keptOf(key, state)), (kept) =>
        Effect.sync(() => {
          attempt.kept = kept
        })),
    progress: (said) =>
      Effect.sync(() => {
        around.telling(attempt).reached(Progress.of(said))
        around.said(attempt)
      }),
    say: (level, text) => {
      around.telling(attempt).say(level, text, around.now())
      around.said(attempt)
    },
    handOver: (timeout) =>
      Effect.suspend(() => {
        attempt.awaitsMillis = timeout === undefined
          ? undefined
          : Duration.toMillis(Duration.fromInputUnsafe(timeout))
        return leave(attempt, Stopping.handOver)
      }),
  }
}

const inTime = <A>(
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

const withHooks = (
  attempt: Attempt,
  around: Surroundings,
  run: CurrentRun["Service"],
): Effect.Effect<string | undefined, Unsuccessful> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { grant, handler } = attempt
      const { hooks = {}, policy: { timeoutMillis } } = handler
      const tookMillis: { -readonly [step in keyof Ended["tookMillis"]]: number } = {}
      const hookMillis = Math.max(hookMillisMin, timeoutMillis ?? 0)

      const timed = <A>(step: keyof typeof tookMillis, work: Effect.Effect<A, Unsuccessful>) =>
        Effect.suspend(() => {
          const startedAt = around.now()
          return Effect.ensuring(
            work,
            Effect.sync(() => {
              tookMillis[step] = Math.round(around.now() - startedAt)
            }),
          )
        })

      /** In a fiber of its own, as this one may be interrupted already. */
      const after = Effect.fnUntraced(function* <A>(work: Effect.Effect<A, Unsuccessful>) {
        // It was stopped while it was concluded: who has the run next begins with this hook.
        if (isLeft(attempt)) return yield* Effect.interrupt
        const timed = Effect.interruptible(inTime(attempt, around, work, hookMillis))
        const hook = yield* Effect.forkDetach(timed)
        attempt.hook = hook
        const exit = yield* Fiber.await(hook)
        attempt.hook = undefined
        around.limit(attempt, undefined)
        if (isLeft(attempt)) return yield* Effect.interrupt
        return exit
      })

      const complain = (what: string, exit: Exit.Exit<unknown, Unsuccessful>) => {
        if (Exit.isFailure(exit)) {
          run.say("Warn", `${what}: ${unsuccessfulOf(exit).failure.message}`)
        }
      }

      /** Those that only say how a run has ended, once that is known. */
      const conclude = (conclusion: Conclusion) =>
        Effect.suspend(() => {
          attempt.concluding = "asked"
          return Effect.flatMap(around.conclude(grant, conclusion), (isOurs) => {
            attempt.concluding = isOurs ? "kept" : undefined
            return isOurs ? Effect.void : leave(attempt, Stopping.abandon)
          })
        })

      const carried = timed("run", handler.carryOut(grant.payload, run))
      const first = hooks.prepare === undefined ? carried : Effect.andThen(
        timed("prepare", hooks.prepare(grant.payload, run)),
        // This process may have stood still meanwhile, and somebody else may have begun it.
        Effect.suspend(() => around.isFresh() ? carried : giveBack(attempt, "LeaseUnsure")),
      )
      const tried = timeoutMillis === undefined
        ? first
        : inTime(attempt, around, first, timeoutMillis)
      let exit = grant.conclusion === undefined
        ? yield* Effect.exit(restore(handler.opening?.(run, tried) ?? tried))
        : exitOf(grant.conclusion)
      if (isToBeMarked(attempt)) {
        around.limit(attempt, undefined)
        advance(attempt, { _tag: "Marking" })
        const isMarked = yield* attempt.mark ?? around.conclude(grant, handedOver)
        advance(attempt, { _tag: isMarked ? "Marked" : "Refused" })
        if (isMarked || isLeft(attempt)) return yield* exit
      }
      if (grant.conclusion?.state === "Cancelled") {
        advance(attempt, { _tag: "Leaving", stop: Stopping.cancel })
      }
      if (Exit.isFailure(exit) && isSpent(attempt)) {
        exit = Exit.fail(stoppedHalfway)
        advance(attempt, { _tag: "Ended" })
      }
      // What became of it is known from here on; an order to stop comes too late, a loss does not.
      around.limit(attempt, undefined)
      let outcome = exit
      let ended: Ended = { ...endedOf(attempt, around, exit), tookMillis }
      const isFinal = ended.state !== "Retried" && ended.state !== "Stopped"
      attempt.outcome = exit
      advance(attempt, { _tag: "Known" })

      const isToUndo = grant.conclusion?.phase === "rollingBack"
      const isNew = grant.conclusion === undefined || grant.conclusion.phase === "finishing"
      const mayUndo = isNew && hooks.rollback !== undefined
      if (Exit.isFailure(exit) && isFinal && (isToUndo || mayUndo)) {
        const { failure } = unsuccessfulOf(exit)
        const asked = Rollback.askedOf(grant.conclusion?.failure)
        const before = asked ?? failure
        const { result } = grant.conclusion ?? {}
        yield* conclude({
          state: stateOf(ended),
          phase: "rollingBack",
          ...(result !== undefined && { result }),
          failure,
        })
        // Where it was concluded the code may have had a rollback.
        const undone = hooks.rollback === undefined
          ? Exit.fail(noRollback)
          : yield* after(timed("rollback", hooks.rollback(grant.payload, run, before)))
        const last = Exit.isFailure(undone)
          ? Rollback.failed(before, unsuccessfulOf(undone).failure)
          : asked && Rollback.done(asked)
        if (last !== undefined) {
          outcome = Exit.fail({ ...unsuccessfulOf(exit), isAnswer: true, failure: last })
          ended = { ...ended, failure: last }
        }
      }
      const isUnbegun = Exit.isFailure(exit) && unsuccessfulOf(exit).isGivenBack === true
      if (hooks.clean !== undefined && !isUnbegun) {
        // What is remembered is kept with the end of the run, so it has not ended well before that.
        const isRemembering = Exit.isSuccess(outcome) && attempt.kept !== undefined
        if (isFinal && !isRemembering) yield* conclude(conclusionOf(ended, outcome, grant))
        complain(
          "clean failed",
          yield* after(timed("clean", hooks.clean(grant.payload, run, ended))),
        )
      }
      if (hooks.summary !== undefined && isFinal) {
        const summary = yield* after(hooks.summary(grant.payload, run, ended))
        complain("summary failed", summary)
        if (Exit.isSuccess(summary) && summary.value !== undefined) {
          run.say("Info", summary.value)
        }
      }
      // An order to stop that came too late.
      if (isFinal) advance(attempt, { _tag: "Ended" })
      return yield* outcome
    })
  )

/** Whether the rest is for somebody else. */
const isLeft = ({ stopping }: Attempt): boolean => stopping._tag === "Left"

/** Whether it is handed over, and hooks are left. */
export const isToBeMarked = ({ handler: { hooks = {} }, stopping }: Attempt): boolean =>
  Stopping.isStoppedBy(stopping, "HandOver") &&
  (hooks.rollback ?? hooks.clean ?? hooks.summary) !== undefined

const endedOf = (
  attempt: Attempt,
  around: Surroundings,
  exit: Exit.Exit<unknown, Unsuccessful>,
): Omit<Ended, "tookMillis"> => {
  const stop = Stopping.stopOf(attempt.stopping)
  if (Exit.isSuccess(exit) && stop?._tag !== "Abandon") return { state: "Succeeded" }
  if (Exit.isSuccess(exit) || stop !== undefined) return { state: "Stopped" }
  const unsuccessful = unsuccessfulOf(exit)
  const { failure, isGivenBack, isTimeOut } = unsuccessful
  if (isGivenBack === true) return { state: "Stopped" }
  const isOver = attempt.grant.conclusion !== undefined ||
    !around.isRetried(attempt, unsuccessful)
  return { state: !isOver ? "Retried" : isTimeOut === true ? "TimedOut" : "Failed", failure }
}

const stateOf = ({ state }: Ended): Conclusion["state"] => state as Conclusion["state"]

const conclusionOf = (
  ended: Ended,
  outcome: Exit.Exit<string | undefined, Unsuccessful>,
  { conclusion }: Grant,
): Conclusion => {
  // What it had succeeded with once, another rollback may need.
  const result = Exit.isSuccess(outcome) ? outcome.value : conclusion?.result
  return {
    state: stateOf(ended),
    phase: "cleaning",
    ...(result !== undefined && { result }),
    ...(Exit.isFailure(outcome) && { failure: unsuccessfulOf(outcome).failure }),
  }
}

/** As the one before has concluded. It is final, so it counts as an answer. */
const exitOf = (
  { failure, result, state }: Conclusion,
): Exit.Exit<string | undefined, Unsuccessful> => {
  if (state === "Cancelled") return Exit.interrupt()
  return state === "Succeeded" || failure === undefined
    ? Exit.succeed(result)
    : Exit.fail({ failure, isAnswer: true, isTimeOut: state === "TimedOut" })
}

const noRollback: Unsuccessful = { failure: Rollback.missing, isAnswer: true }

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

/** `stuck`: its handler goes on; `silent`: nobody knows, since its executor does not say. */
export const tookTooLong = (
  timeoutMillis: number,
  how: "interrupted" | "stuck" | "silent" = "interrupted",
): Unsuccessful => ({
  failure: {
    tag: "TimedOut",
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

const tooLong = (checkpoint: string) =>
  new Refused({
    field: "checkpoint",
    reason: `it has ${checkpoint.length} characters, more than ${checkpointMax}`,
    remedy: "Keep the data elsewhere, and here where it is",
  })

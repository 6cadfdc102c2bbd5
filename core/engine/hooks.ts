/**
 * The hooks of an attempt, and their order:
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
import { Effect, Exit, Fiber } from "effect"
import { type Conclusion, handedOver } from "../domain/Conclusion.ts"
import * as Rollback from "../domain/Rollback.ts"
import type { Grant } from "../services/RunStorage.ts"
import * as Attempt from "./Attempt.ts"
import type { CurrentRun } from "./CurrentRun.ts"
import type { Ended, Unsuccessful } from "./Handler.ts"
import * as Stopping from "./Stopping.ts"

/** A rollback, a clean or a summary may take so long, or as long as an attempt if that is longer. */
const hookMillisMin = 60_000

export const withHooks = (
  attempt: Attempt.Attempt,
  around: Attempt.Surroundings,
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
        const timed = Effect.interruptible(Attempt.inTime(attempt, around, work, hookMillis))
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
          run.say("Warn", `${what}: ${Attempt.unsuccessfulOf(exit).failure.message}`)
        }
      }

      /** Those that only say how a run has ended, once that is known. */
      const conclude = (conclusion: Conclusion) =>
        Effect.suspend(() => {
          attempt.concluding = "asked"
          return Effect.flatMap(around.conclude(grant, conclusion), (isOurs) => {
            attempt.concluding = isOurs ? "kept" : undefined
            return isOurs ? Effect.void : Attempt.leave(attempt, Stopping.abandon)
          })
        })

      const carried = timed("run", handler.carryOut(grant.payload, run))
      const first = hooks.prepare === undefined ? carried : Effect.andThen(
        timed("prepare", hooks.prepare(grant.payload, run)),
        // This process may have stood still meanwhile, and somebody else may have begun it.
        Effect.suspend(() => around.isFresh() ? carried : Attempt.giveBack(attempt, "LeaseUnsure")),
      )
      const tried = timeoutMillis === undefined
        ? first
        : Attempt.inTime(attempt, around, first, timeoutMillis)
      let exit = grant.conclusion === undefined
        ? yield* Effect.exit(restore(handler.opening?.(run, tried) ?? tried))
        : exitOf(grant.conclusion)
      if (Attempt.isToBeMarked(attempt)) {
        around.limit(attempt, undefined)
        Attempt.advance(attempt, { _tag: "Marking" })
        const isMarked = yield* attempt.mark ?? around.conclude(grant, handedOver)
        Attempt.advance(attempt, { _tag: isMarked ? "Marked" : "Refused" })
        if (isMarked || isLeft(attempt)) return yield* exit
      }
      if (grant.conclusion?.state === "Cancelled") {
        Attempt.advance(attempt, { _tag: "Leaving", stop: Stopping.cancel })
      }
      if (Exit.isFailure(exit) && Attempt.isSpent(attempt)) {
        exit = Exit.fail(Attempt.stoppedHalfway)
        Attempt.advance(attempt, { _tag: "Ended" })
      }
      // What became of it is known from here on; an order to stop comes too late, a loss does not.
      around.limit(attempt, undefined)
      let outcome = exit
      let ended: Ended = { ...endedOf(attempt, around, exit), tookMillis }
      const isFinal = ended.state !== "Retried" && ended.state !== "Stopped"
      attempt.outcome = exit
      Attempt.advance(attempt, { _tag: "Known" })

      const isToUndo = grant.conclusion?.phase === "rollingBack"
      const isNew = grant.conclusion === undefined || grant.conclusion.phase === "finishing"
      const mayUndo = isNew && hooks.rollback !== undefined
      if (Exit.isFailure(exit) && isFinal && (isToUndo || mayUndo)) {
        const { failure } = Attempt.unsuccessfulOf(exit)
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
          ? Rollback.failed(before, Attempt.unsuccessfulOf(undone).failure)
          : asked && Rollback.done(asked)
        if (last !== undefined) {
          outcome = Exit.fail({ ...Attempt.unsuccessfulOf(exit), isAnswer: true, failure: last })
          ended = { ...ended, failure: last }
        }
      }
      const isUnbegun = Exit.isFailure(exit) && Attempt.unsuccessfulOf(exit).isGivenBack === true
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
      if (isFinal) Attempt.advance(attempt, { _tag: "Ended" })
      return yield* outcome
    })
  )

/** Whether the rest is for somebody else. */
const isLeft = ({ stopping }: Attempt.Attempt): boolean => stopping._tag === "Left"

const endedOf = (
  attempt: Attempt.Attempt,
  around: Attempt.Surroundings,
  exit: Exit.Exit<unknown, Unsuccessful>,
): Omit<Ended, "tookMillis"> => {
  const stop = Stopping.stopOf(attempt.stopping)
  if (Exit.isSuccess(exit) && stop?._tag !== "Abandon") return { state: "Succeeded" }
  if (Exit.isSuccess(exit) || stop !== undefined) return { state: "Stopped" }
  const unsuccessful = Attempt.unsuccessfulOf(exit)
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
    ...(Exit.isFailure(outcome) && { failure: Attempt.unsuccessfulOf(outcome).failure }),
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

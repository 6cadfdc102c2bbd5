/**
 * When attempts must have ended: their time-outs, and the time that an interrupted handler has to stop in.
 *
 * 1. A handler that was interrupted and goes on has `stopMillis` to end. Then it is *stuck*: its run is
 *    reported as if it had ended.
 * 2. Of what has a time-out it is known how it ends if nobody gets to it here (*stuck*), and if nothing is
 *    heard of this process (*silent*). Neither is decided by that: it may still end in another way.
 */
import { Effect, Latch } from "effect"
import type { Ending } from "../services/RunStorage.ts"
import { type Attempt, tookTooLong } from "./Attempt.ts"
import type { Reporting } from "./Reporting.ts"
import { stopOf } from "./Stopping.ts"

export interface TimeLimits {
  /** From now on it has so long, and some time to stop in. */
  readonly limit: (attempt: Attempt, millis: number | undefined) => void
  /** It has some time to stop in; the same order comes again until it is answered: that gives no more. */
  readonly stopSoon: (attempt: Attempt) => void
  /** It is to begin, with so long a time-out, as soon as that is marked. */
  readonly begins: (attempt: Attempt, timeoutMillis: number) => void
  /** What is left to be said of it by others: not while it is put down, or after its outcome. */
  readonly endingLeft: (attempt: Attempt) => Ending | undefined
  /** How each that has a time-out is ended if nobody gets to it here. */
  readonly endings: () => ReadonlyArray<Ending>
  /** How each is ended if nothing is heard from here; of those alone that began so long ago. */
  readonly endingsLeft: (sinceMillis: number) => ReadonlyArray<Ending>
  /** Gives up on those whose time is over, again and again. */
  readonly lookOut: Effect.Effect<never>
}

/** So long what this process says itself may be under way, until it counts as silent. */
export const silentMillis = 250

export const make = (
  { carried, giveUpOn, monotonic, onEndings, onTimed, stopMillis, unsuccess }: {
    readonly carried: ReadonlySet<Attempt>
    readonly giveUpOn: (attempt: Attempt) => Effect.Effect<void>
    readonly monotonic: () => number
    /** Other endings than before are to be left, or soon. */
    readonly onEndings: () => void
    /** A run with a time-out begins. */
    readonly onTimed: ((ending: Ending) => void) | undefined
    readonly stopMillis: number
    readonly unsuccess: Reporting["unsuccess"]
  },
): TimeLimits => {
  /** When somebody looks next for handlers that go on. */
  let looksAt = Infinity
  const isLimited = Latch.makeUnsafe()

  const stopBy = (attempt: Attempt, at: number) => {
    attempt.stopBy = at
    if (at < looksAt) isLimited.openUnsafe()
  }

  /** Of a copy, as how long it would wait for another attempt is not decided by that. */
  const endingOf = (attempt: Attempt, how: "stuck" | "silent", inMillis: number): Ending => {
    const { timeoutMillis = 0 } = attempt.handler.policy
    return { inMillis, report: unsuccess({ ...attempt }, tookTooLong(timeoutMillis, how)) }
  }

  const stuckIn = (attempt: Attempt) => endingOf(attempt, "stuck", attempt.stopBy - monotonic())

  const endingLeft = (attempt: Attempt): Ending | undefined => {
    const { handler: { policy }, outcome, overdueAt, stopping } = attempt
    const stop = stopOf(stopping)
    const isIt = policy.timeoutMillis !== undefined && overdueAt < Infinity &&
      outcome === undefined && (stop === undefined || stop._tag === "Cancel")
    const inMillis = Math.ceil(Math.max(0, overdueAt - monotonic()))
    return isIt ? endingOf(attempt, "silent", inMillis) : undefined
  }

  return {
    limit: (attempt, millis) => {
      stopBy(attempt, millis === undefined ? Infinity : monotonic() + millis + stopMillis)
      attempt.overdueAt = attempt.stopBy + silentMillis
      attempt.overdueSince = monotonic()
      onEndings()
      if (millis !== undefined && attempt.outcome === undefined) onTimed?.(stuckIn(attempt))
    },
    stopSoon: (attempt) => stopBy(attempt, Math.min(attempt.stopBy, monotonic() + stopMillis)),
    begins: (attempt, timeoutMillis) => {
      attempt.overdueAt = monotonic() + timeoutMillis + stopMillis + silentMillis
    },
    endingLeft,
    endings: () =>
      [...carried].filter(({ outcome, stopBy }) => outcome === undefined && stopBy < Infinity)
        .map(stuckIn),
    endingsLeft: (sinceMillis) => {
      const since = monotonic() - sinceMillis
      return [...carried].filter(({ overdueSince }) => overdueSince <= since)
        .flatMap((attempt) => endingLeft(attempt) ?? [])
    },
    lookOut: Effect.gen(function* () {
      isLimited.closeUnsafe()
      const now = monotonic()
      looksAt = Infinity
      for (const attempt of [...carried]) {
        if (attempt.stopBy <= now) yield* giveUpOn(attempt)
        else looksAt = Math.min(looksAt, attempt.stopBy)
      }
      yield* looksAt === Infinity
        ? isLimited.await
        : Effect.raceFirst(Effect.sleep(Math.max(1, looksAt - now)), isLimited.await)
    }).pipe(Effect.forever),
  }
}

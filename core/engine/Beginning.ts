/**
 * Whether the user code of an attempt may start, and what is asked and marked before it does.
 *
 * 1. It starts only while the lease is fresh, also after an answer that was waited for.
 * 2. A start is marked where it matters to others that it was made: of a run with a deadline, one that
 *    begins at most once, one behind a permit. What is given back unread is not begun, and so not marked.
 */
import { Effect } from "effect"
import * as Breaker from "../domain/Breaker.ts"
import { isRegulated } from "../domain/Permit.ts"
import type { Policy } from "../domain/Policy.ts"
import * as Retry from "../domain/Retry.ts"
import type { Ending, Grant } from "../services/RunStorage.ts"
import type { Passage } from "../services/Transport.ts"
import type { Ages } from "./Ages.ts"
import { type Attempt, begunTooLate, giveBack, leave } from "./Attempt.ts"
import type { Unsuccessful } from "./Handler.ts"
import { abandon, postpone } from "./Stopping.ts"
import { silentMillis, type TimeLimits } from "./TimeLimits.ts"

type Work = Effect.Effect<string | undefined, Unsuccessful>

export interface Asking {
  /** Whether user code may start; of one with a time-out, how it is ended if nothing is heard. */
  readonly mark: (grant: Grant, ending: Ending | undefined) => Effect.Effect<boolean>
  /** How the breaker of the grant's key answers; nothing if no answer came in time. */
  readonly pass: (
    grant: Grant,
    policy: Policy,
    breaker: Breaker.ByKey,
  ) => Effect.Effect<Passage | undefined>
}

export const make = (
  { ages, isFresh, limits, mark, monotonic, pass }: Asking & {
    readonly ages: Ages
    /** Whether the lease is. */
    readonly isFresh: () => boolean
    readonly limits: TimeLimits
    readonly monotonic: () => number
  },
) => {
  const isTooLate = ({ grant, handler: { policy: { retry } } }: Attempt): boolean =>
    // What goes on with what was concluded is no attempt.
    grant.attempt - grant.crashes > 1 && grant.conclusion === undefined &&
    Retry.isTooLate(retry, ages.of(grant))

  const marked = (attempt: Attempt, work: Work): Work =>
    Effect.suspend(() => {
      const { grant, handler: { policy: { timeoutMillis = Infinity } } } = attempt
      const isTimed = timeoutMillis < Infinity && grant.conclusion === undefined
      const markedAt = monotonic()
      if (isTimed) limits.begins(attempt, timeoutMillis)
      return Effect.flatMap(mark(grant, limits.endingLeft(attempt)), (mayStart) => {
        // A start that was not accepted is not ours to report on.
        if (!mayStart) return leave(attempt, abandon)
        // What was left with the mark is said soon, and nobody can take it back in time.
        const isLate = isTimed && monotonic() - markedAt > timeoutMillis + silentMillis
        // The answer may have come while this process stood still, and the lease ran out meanwhile.
        return isFresh() && !isLate ? work : giveBack(attempt, "LeaseUnsure")
      })
    })

  /** The work of the attempt, behind all that must be so before it. */
  return (attempt: Attempt, work: Work): Work => {
    const { grant, handler: { isForOthers, policy } } = attempt
    const { breaker, retry: { withinMillis } } = policy
    if (withinMillis !== undefined && isTooLate(attempt)) {
      return Effect.fail(begunTooLate(withinMillis))
    }
    if (!grant.isCareful && !isRegulated(policy)) return work
    const isConcluded = grant.conclusion !== undefined
    // The mark of a start is kept, and ends a deadline: what is given back unread is to have none.
    if (!isConcluded && isForOthers?.(grant.payload) === true) return work
    // What its holder has concluded calls nobody any more.
    if (!Breaker.isByKey(breaker) || isConcluded) return marked(attempt, work)
    return Effect.flatMap(pass(grant, policy, breaker), (passage) => {
      if (passage === undefined) return giveBack(attempt, "BreakerSilent")
      attempt.passage = passage
      return passage._tag === "Open" ? marked(attempt, work) : leave(attempt, postpone)
    })
  }
}

/** What a program of promises does under a named lock. */
import { Effect } from "effect"
import type { Lease } from "../core/domain/Lease.ts"
import { type LockOptions, Locks as CoreLocks, type TryOptions } from "../core/engine/Locks.ts"
import type { Call, Waiting } from "./call.ts"
import { untilStopped } from "./untilStopped.ts"

/** What work under a lock may know of it. */
export interface Held {
  /** Aborted when the lock is lost, nobody answers in time whether it is, or the caller's is. */
  readonly signal: AbortSignal
  readonly key: string
  readonly holder: string
  /** The number that rises with every grant: give it to whatever the lock guards. */
  readonly fence: number
}

/** Does something while it holds the lock, and gives it back when that has ended. */
type WithLock<O> = <A>(
  key: string,
  work: (lock: Held) => A | Promise<A>,
  options?: O & Waiting,
) => Promise<A>

export interface Locks {
  /** Waits for the lock as long as it takes; a `signal` ends the wait, and the work. */
  readonly withLock: WithLock<LockOptions>
  /** Rejects with `LockHeld` when another has it, at once or after `waitAtMost`. */
  readonly tryWithLock: WithLock<TryOptions>
}

export const locksOver = (call: Call): Locks => {
  const doing =
    <A>(work: (lock: Held) => A | Promise<A>) =>
    ({ fence, holder, key }: Lease): Effect.Effect<A> =>
      untilStopped((signal) => work({ signal, key, holder, fence }), {
        thrown: Effect.die,
        why: "the lock is held no longer",
      })

  return {
    withLock: (key, work, options = {}) =>
      call(CoreLocks.use(({ withLock }) => withLock(key, doing(work), options)), options),
    tryWithLock: (key, work, options = {}) =>
      call(CoreLocks.use(({ tryWithLock }) => tryWithLock(key, doing(work), options)), options),
  }
}

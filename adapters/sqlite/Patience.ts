/**
 * How another process's lock is waited for. SQLite's own waiting would block every fiber of this
 * process, so `busy_timeout` is 0, and who finds the file locked tries again after a pause on the
 * Effect clock.
 */
import { Duration, Effect, Random } from "effect"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { failed, isBusy, unavailable } from "./SqliteError.ts"

/** Other processes hold the write lock for milliseconds; one that keeps it this long is stuck. */
export const busyMillis = 5000

/** Different for each, so that those who wait do not keep in step. */
export const pause = Effect.flatMap(
  Random.next,
  (chance) => Effect.sleep(Duration.millis(1 + 4 * chance)),
)

/** Tries again for as long as the file is locked. Its other failures are what SQLite said. */
export const patiently = <A>(
  operation: string,
  attempt: Effect.Effect<A, unknown>,
): Effect.Effect<A, StorageUnavailable> => {
  const until = (deadline: number): Effect.Effect<A, StorageUnavailable> =>
    Effect.catch(attempt, (error) => {
      if (!isBusy(error)) return failed(operation, error)
      return performance.now() > deadline
        ? Effect.fail(unavailable(operation, error))
        : Effect.andThen(pause, until(deadline))
    })
  return Effect.suspend(() => until(performance.now() + busyMillis))
}

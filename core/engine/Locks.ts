/**
 * Work under a named lock.
 *
 * Every answer of the store must come within a quarter of the ttl, and a renewal is sent a quarter
 * after each answer. A granted or renewed lease is thus at most three quarters old when the work
 * is interrupted for want of the next answer, which leaves the last quarter to wind down.
 */
import { Context, Duration, Effect, Layer, Option, Random, Schedule, Schema } from "effect"
import { type Lease, LockKey } from "../domain/Lease.ts"
import { LeaseLost, Lock } from "../services/Lock.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"

/** Another holder has the lock. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", { key: LockKey }) {}

export interface LockOptions {
  /** If its holder dies, others wait this long. */
  readonly ttl?: Duration.Input
  /** Shown to others; the process by default. */
  readonly holder?: string
}

type Unheld = LeaseLost | StorageUnavailable

export class Locks extends Context.Service<Locks, {
  /** Runs `work` under the lock, or fails at once when another holds it. */
  readonly tryWithLock: <A, E, R>(
    key: string,
    work: (lease: Lease) => Effect.Effect<A, E, R>,
    options?: LockOptions,
  ) => Effect.Effect<A, E | LockHeld | Unheld, R>

  /** Waits for the lock, then runs `work` under it. */
  readonly withLock: <A, E, R>(
    key: string,
    work: (lease: Lease) => Effect.Effect<A, E, R>,
    options?: LockOptions,
  ) => Effect.Effect<A, E | Unheld, R>
}>()("belfry/core/engine/Locks") {
  static readonly layer: Layer.Layer<Locks, never, Lock> = Layer.effect(
    Locks,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const lock = yield* Lock
  const self = `locks-${(yield* Random.nextIntBetween(0, 2 ** 48)).toString(36)}`

  const tryWithLock = Effect.fnUntraced(function* <A, E, R>(
    name: string,
    work: (lease: Lease) => Effect.Effect<A, E, R>,
    options: LockOptions = {},
  ) {
    const key = LockKey.make(name)
    const ttl = Duration.fromInputUnsafe(options.ttl ?? "30 seconds")
    const quarter = Duration.divideUnsafe(ttl, 4)
    const inTime = Effect.timeoutOrElse({
      duration: quarter,
      orElse: () =>
        Effect.fail(
          new StorageUnavailable({
            storage: "lock",
            operation: `keeping "${name}"`,
            cause: "no answer in time",
          }),
        ),
    })

    const granted = yield* Effect.acquireRelease(
      inTime(lock.acquire(key, options.holder ?? self, ttl)),
      Option.match({
        onNone: () => Effect.void,
        // Within its time, lest a silent store hold us here. Not interruptible, for then it would not
        // run when its program was interrupted.
        onSome: (lease) => lock.release(lease).pipe(inTime, Effect.ignore),
      }),
      { interruptible: true },
    )
    if (Option.isNone(granted)) return yield* new LockHeld({ key })

    const lease = granted.value
    const renewals = Effect.sleep(quarter).pipe(
      Effect.andThen(inTime(lock.renew(lease, ttl))),
      Effect.repeat(Schedule.forever),
      Effect.andThen(Effect.never),
    )
    return yield* Effect.raceFirst(work(lease), renewals)
  }, Effect.scoped)

  const withLock = <A, E, R>(
    name: string,
    work: (lease: Lease) => Effect.Effect<A, E, R>,
    options: LockOptions = {},
  ): Effect.Effect<A, E | Unheld, R> =>
    Effect.catchIf(
      tryWithLock(name, work, options) as Effect.Effect<A, E | LockHeld | Unheld, R>,
      (error): error is LockHeld => error instanceof LockHeld,
      ({ key }) =>
        // A release is watched for; an expiry announces itself to nobody, so look now and then.
        lock.watch(key).pipe(
          Effect.timeoutOption("1 second"),
          Effect.andThen(withLock(name, work, options)),
        ),
    ) as Effect.Effect<A, E | Unheld, R>

  return Locks.of({ tryWithLock, withLock })
})

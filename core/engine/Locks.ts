/**
 * Work under a named lock.
 *
 * A renewal is sent `renewEvery` after each answer, and every answer must come within a third of
 * what remains of the ttl. A granted or renewed lease is thus at most seven ninths old when the work
 * is interrupted for want of the next answer, three quarters unless `renewEvery` is given, and the
 * rest is there to wind down. A store that cannot be reached for a moment is asked again within the
 * same time.
 *
 * Whoever waits is woken by the release, and looks by itself twice a second besides: an expiry
 * announces itself to nobody, and a watch may be lost.
 */
import {
  Clock,
  Context,
  Duration,
  Effect,
  Layer,
  Option,
  Random,
  Schedule,
  Schema,
  Scope,
} from "effect"
import { type Lease, LockKey } from "../domain/Lease.ts"
import { Refused } from "../domain/Refused.ts"
import { type Fences, LeaseLost, Lock } from "../services/Lock.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"

/** Another holder has the lock. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", { key: LockKey }) {}

export interface LockOptions {
  /** If its holder dies, others wait this long. 30 seconds unless given, and a second at least. */
  readonly ttl?: Duration.Input
  /** At most a third of the ttl; a quarter of it unless given. */
  readonly renewEvery?: Duration.Input
  /** Shown to others; the process by default. */
  readonly holder?: string
  /** `durable`: refused where the locks are kept so that a crash may forget them. */
  readonly fences?: Fences
}

export interface TryOptions extends LockOptions {
  /** Not at all unless given. */
  readonly waitAtMost?: Duration.Input
}

export type Unheld = LeaseLost | Refused | StorageUnavailable

export class Locks extends Context.Service<Locks, {
  /** Runs `work` under the lock, or fails when another holds it for longer than is waited. */
  readonly tryWithLock: <A, E, R>(
    key: string,
    work: (lease: Lease) => Effect.Effect<A, E, R>,
    options?: TryOptions,
  ) => Effect.Effect<A, E | LockHeld | Unheld, R>

  /** Waits for the lock as long as it takes, then runs `work` under it. */
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

const ttlMin = Duration.seconds(1)
const lookEvery = Duration.millis(500)

interface Terms {
  readonly key: LockKey
  readonly holder: string
  readonly ttl: Duration.Duration
  readonly renewEvery: Duration.Duration
  /** For one answer of the store. */
  readonly patience: Duration.Duration
}

const refuse = (field: string, reason: string, remedy: string) =>
  Effect.fail(new Refused({ field, reason, remedy }))

const isKey = Schema.is(LockKey)

const termsOf = (
  name: string,
  options: LockOptions,
  self: string,
  lock: Lock["Service"],
): Effect.Effect<Terms, Refused> => {
  const ttl = Duration.fromInputUnsafe(options.ttl ?? "30 seconds")
  const renewEvery = options.renewEvery === undefined
    ? Duration.divideUnsafe(ttl, 4)
    : Duration.fromInputUnsafe(options.renewEvery)
  const holder = options.holder ?? self
  if (!isKey(name)) {
    return refuse("key", "it is not the name of a lock", "Use 1 to 512 characters")
  }
  if (holder === "") return refuse("holder", "it is empty", "Name who holds the lock, or nobody")
  if (!Duration.isFinite(ttl) || Duration.isLessThan(ttl, ttlMin)) {
    return refuse(
      "ttl",
      `${Duration.format(ttl)} is no time in which a holder can be told dead from slow`,
      `Use ${Duration.format(ttlMin)} or more, and less than for ever`,
    )
  }
  if (
    Duration.isGreaterThan(Duration.times(renewEvery, 3), ttl) || !Duration.isPositive(renewEvery)
  ) {
    return refuse(
      "renewEvery",
      `${Duration.format(renewEvery)} is more than a third of the ttl of ${
        Duration.format(ttl)
      }, ` +
        "or not a while at all",
      "Leave it out, or use a third of the ttl or less: one renewal may then be lost",
    )
  }
  if (options.fences === "durable" && lock.fences !== "durable") {
    return refuse(
      "fences",
      `locks in ${lock.technology} are kept so that a crash may forget them`,
      "Keep locks in PostgreSQL or a SQLite file, or in a Redis set up as docs/locks.md says",
    )
  }
  const patience = Duration.divideUnsafe(Duration.subtract(ttl, renewEvery), 3)
  return Effect.succeed({ key: name, holder, ttl, renewEvery, patience })
}

const make = Effect.gen(function* () {
  const lock = yield* Lock
  const clock = yield* Clock.Clock
  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const self = `locks-${(yield* Random.nextIntBetween(0, 2 ** 48)).toString(36)}`

  const inTime = ({ key, patience }: Terms) =>
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () =>
        Effect.fail(
          new StorageUnavailable({
            storage: lock.technology,
            operation: `keeping the lock "${key}"`,
            cause: "no answer in time",
          }),
        ),
    })

  /** Whoever is granted the lock here gives it back when the scope ends, interrupted or not. */
  const attemptOf = Effect.fnUntraced(function* (terms: Terms) {
    const scope = yield* Effect.scope
    return Effect.uninterruptibleMask((restore) =>
      Effect.tap(
        restore(inTime(terms)(lock.acquire(terms.key, terms.holder, terms.ttl))),
        Option.match({
          onNone: () => Effect.void,
          // Within its time, lest a silent store hold us here.
          onSome: (lease) =>
            Scope.addFinalizer(scope, lock.release(lease).pipe(inTime(terms), Effect.ignore)),
        }),
      )
    )
  })

  type Attempt = Effect.Success<ReturnType<typeof attemptOf>>

  /** A lease, or `None` when others have held the lock all the time that was to be waited. */
  const waited = Effect.fnUntraced(function* (key: LockKey, attempt: Attempt, waitMillis: number) {
    const deadline = monotonic() + waitMillis
    const first = yield* attempt
    if (Option.isSome(first) || waitMillis <= 0) return first
    const { arm, wait } = yield* lock.watch(key)
    for (;;) {
      yield* arm
      // It may have been released since the last look, and before the watch was armed.
      const next = yield* attempt
      const remaining = deadline - monotonic()
      if (Option.isSome(next) || remaining <= 0) return next
      yield* wait(Duration.min(lookEvery, Duration.millis(remaining)))
    }
  }, Effect.scoped)

  const underLock = Effect.fnUntraced(
    function* <A, E, R, H>(
      name: string,
      work: (lease: Lease) => Effect.Effect<A, E, R>,
      options: LockOptions,
      waitMillis: number,
      whenHeld: (key: LockKey) => Effect.Effect<never, H>,
    ) {
      const terms = yield* termsOf(name, options, self, lock)
      const { key, patience, renewEvery, ttl } = terms
      const granted = yield* waited(key, yield* attemptOf(terms), waitMillis)
      if (Option.isNone(granted)) return yield* whenHeld(key)

      const lease = granted.value
      const renewal = lock.renew(lease, ttl).pipe(
        Effect.retry({
          while: (error) => error._tag === "StorageUnavailable",
          schedule: Schedule.spaced(Duration.divideUnsafe(patience, 8)),
        }),
        inTime(terms),
      )
      const renewals = Effect.sleep(renewEvery).pipe(
        Effect.andThen(renewal),
        Effect.repeat(Schedule.forever),
        Effect.andThen(Effect.never),
      )
      return yield* Effect.raceFirst(work(lease), renewals)
    },
    Effect.scoped,
  )

  return Locks.of({
    tryWithLock: (name, work, options = {}) =>
      underLock(
        name,
        work,
        options,
        Duration.toMillis(options.waitAtMost ?? 0),
        (key) => new LockHeld({ key }),
      ),
    // Nobody waits for ever in vain.
    withLock: (name, work, options = {}) =>
      underLock(name, work, options, Infinity, () => Effect.never),
  })
})

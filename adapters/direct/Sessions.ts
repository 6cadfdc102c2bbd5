/**
 * What this process remembers of the incarnations it serves.
 *
 * All of it saves work and none of it decides: a session may be forgotten at any time. It holds the
 * subscriptions of the loops that wait for work, which are dear to make and cheap to keep, and the
 * last round of each loop, so that messages that come twice or too late are told apart.
 */
import { Effect, Exit, type Fiber, Latch, Scope, Semaphore } from "effect"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Lane } from "../../core/domain/Lane.ts"
import type { Revocation } from "../../core/services/ExecutorStorage.ts"
import { ofLane, type Subscription, type Wakeups } from "../../core/services/Wakeups.ts"

/** More loops than an executor has use for; past it the oldest is forgotten. */
const loopsMax = 64
/** A session unused for this long is forgotten. */
const idleMillis = 300_000
const sweepMillis = 60_000

interface Listening {
  readonly lanes: ReadonlyArray<Lane>
  readonly subscription: Subscription
  readonly scope: Scope.Closeable
}

/** One claim loop of an executor. */
export class Loop {
  /** The latest round that was heard of. */
  round = -1
  /** Rounds of one loop take turns, or two would share the loop's subscription and its grants. */
  readonly turn = Semaphore.makeUnsafe(1)
  /** Opened when a later call shows that nobody waits for the present one any more. */
  superseded = Latch.makeUnsafe()
  listening: Listening | undefined
  /** Of the gates that its last round has freed. */
  admission: Fiber.Fiber<void> | undefined

  /** Ends the waits of earlier calls; returns the latch that ends that of the caller. */
  supersede(round: number): Effect.Effect<Latch.Latch> {
    const before = this.superseded
    const after = Latch.makeUnsafe()
    this.round = round
    this.superseded = after
    return Effect.as(before.open, after)
  }
}

export class Session {
  usedAt = 0
  readonly loops = new Map<number, Loop>()
  /** Opened by a beat that saw a revocation. */
  readonly revoked = Latch.makeUnsafe()
  /** What `revocations` last answered. */
  told: ReadonlyArray<Revocation> = []
}

export class Sessions {
  readonly #sessions = new Map<Incarnation, Session>()
  readonly #wakeups: Wakeups["Service"]
  readonly #scope: Scope.Scope
  #sweptAt = 0

  /** Subscriptions end with `scope` at the latest. */
  constructor(wakeups: Wakeups["Service"], scope: Scope.Scope) {
    this.#wakeups = wakeups
    this.#scope = scope
  }

  of(incarnation: Incarnation, now: number): Session {
    let session = this.#sessions.get(incarnation)
    if (session === undefined) {
      session = new Session()
      this.#sessions.set(incarnation, session)
    }
    session.usedAt = now
    return session
  }

  loop(session: Session, number: number): Effect.Effect<Loop> {
    const known = session.loops.get(number)
    if (known !== undefined) return Effect.succeed(known)
    const loop = new Loop()
    session.loops.set(number, loop)
    if (session.loops.size <= loopsMax) return Effect.succeed(loop)
    const [first] = session.loops
    session.loops.delete(first![0])
    return Effect.as(silence(first![1]), loop)
  }

  /** The subscription of `loop` to `lanes`: the one it has, unless it is to other lanes. */
  listen(loop: Loop, lanes: ReadonlyArray<Lane>): Effect.Effect<Subscription> {
    const present = loop.listening
    if (present !== undefined && areEqual(present.lanes, lanes)) {
      return Effect.succeed(present.subscription)
    }
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function* () {
        yield* silence(loop)
        const scope = yield* Scope.fork(this.#scope)
        const subscription = yield* restore(this.#wakeups.subscribe(lanes.map(ofLane))).pipe(
          Scope.provide(scope),
          Effect.onError(() => Scope.close(scope, Exit.void)),
        )
        loop.listening = { lanes, subscription, scope }
        return subscription
      })
    )
  }

  forget(incarnation: Incarnation): Effect.Effect<void> {
    const session = this.#sessions.get(incarnation)
    if (session === undefined) return Effect.void
    this.#sessions.delete(incarnation)
    return Effect.forEach(session.loops.values(), silence, { discard: true })
  }

  /** Forgets the idle ones, now and then. */
  sweep(now: number): Effect.Effect<void> {
    if (now - this.#sweptAt < sweepMillis) return Effect.void
    this.#sweptAt = now
    const idle = [...this.#sessions].filter(([, { usedAt }]) => now - usedAt > idleMillis)
    return Effect.forEach(idle, ([incarnation]) => this.forget(incarnation), { discard: true })
  }
}

const silence = (loop: Loop): Effect.Effect<void> => {
  const { listening } = loop
  loop.listening = undefined
  return listening === undefined ? Effect.void : Scope.close(listening.scope, Exit.void)
}

const areEqual = (a: ReadonlyArray<Lane>, b: ReadonlyArray<Lane>): boolean =>
  a === b || a.length === b.length && a.every((lane, i) => lane === b[i])

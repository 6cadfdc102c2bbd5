/**
 * The transport of an executor that lives in the same process as its storage's adapter, and the
 * one behind every server: all other transports end here.
 *
 * It keeps nothing that matters. Safety is the storage's: rounds (R7), fences (R5), leases (E2).
 * What it adds is patience, and admission right after a settle freed places.
 *
 * Three things that are easy to get wrong:
 *
 * - *A round that nobody waits for.* When an executor sends a round again, an earlier call of it
 *   may still be waiting here, and would be granted runs that nobody hears of. So rounds of one
 *   loop take turns, and the newest ends the wait of those before it; being `isAgain`, it is handed
 *   what they were granted. A round heard of before that is not `isAgain` is a copy of a message:
 *   it gets what the first one got, and nothing new.
 * - *The lease of the dead.* Beats are sent by the executor, never in its name to poll for
 *   revocations: a server that holds the call of an executor that is gone would keep it alive. A
 *   hint is followed by one beat; a lost hint costs the time to the executor's own next beat.
 * - *A failed admission.* It does not fail the round, whose grants would be lost; the sweep admits.
 *   Nor does a round that was granted something wait for it: the next of its loop does, so that no
 *   more are under way than there are loops. One that was granted nothing waits: it may be the last of
 *   an executor that leaves, and of this process.
 */
import { Clock, Duration, Effect, Fiber, type Latch, Layer, Option } from "effect"
import type { Incarnation, Vitals } from "../../core/domain/Executor.ts"
import * as LogLine from "../../core/domain/LogLine.ts"
import { isCounted, postponedMillis, regulationOfKey } from "../../core/domain/Permit.ts"
import * as Policy from "../../core/domain/Policy.ts"
import type { TaskDefinition } from "../../core/domain/Task.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as Waiting from "../../core/domain/Waiting.ts"
import { type Held, held, type Revocation } from "../../core/services/ExecutorStorage.ts"
import * as Hearing from "../../core/services/Hearing.ts"
import * as InStep from "../../core/services/InStep.ts"
import * as Placer from "../../core/services/Placer.ts"
import type { ClaimRequest, Endings, Report, Settled } from "../../core/services/RunStorage.ts"
import type { Told } from "../../core/services/LogStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import {
  Passage,
  type Round,
  SessionLost,
  Transport,
  TransportUnavailable,
} from "../../core/services/Transport.ts"
import { refused, Required } from "../../core/services/Required.ts"
import { ofExecutor, type Subscription, Wakeups } from "../../core/services/Wakeups.ts"
import { type Loop, type Session, Sessions } from "./Sessions.ts"

/** A waiting round looks by itself at least this often, should a hint be lost. */
const lookMillis = 1000
/** A revocation that was answered before is answered again after this long. */
const repeatMillis = 1000
const longMillis = 3_600_000

/** What is held is not ours to say: these beats ask for other things. */
const unknown = held([])

const make = Effect.gen(function* () {
  const storage = yield* Storage
  const { executors, logs, permits, runs } = storage
  const placer = Placer.make(storage)
  const required = yield* Required
  const wakeups = yield* Wakeups
  const scope = yield* Effect.scope
  const sessions = new Sessions(wakeups, scope)

  const sessionOf = Effect.fnUntraced(function* (incarnation: Incarnation) {
    const now = yield* elapsed
    yield* sessions.sweep(now)
    return sessions.of(incarnation, now)
  })

  const lost = (incarnation: Incarnation) =>
    Effect.andThen(sessions.forget(incarnation), Effect.fail(new SessionLost({ incarnation })))

  const admit = (freed: ReadonlyArray<GateKey>): Effect.Effect<void> =>
    freed.length === 0
      ? Effect.void
      : placer.admit(freed).pipe(Effect.tapError(Effect.logDebug), Effect.ignore)

  const claim = Effect.fnUntraced(function* (request: ClaimRequest, loop: Loop) {
    if (loop.admission !== undefined) yield* Fiber.await(loop.admission)
    loop.admission = undefined
    const claimed = yield* answering("round", runs.claim(request))
    if (claimed === "Lost") return yield* lost(request.incarnation)
    const { freed, grants } = claimed
    if (freed.length > 0 && grants.length > 0) {
      loop.admission = yield* Effect.forkIn(admit(freed), scope, { startImmediately: true })
    } else yield* admit(freed)
    yield* hear(request.reports, claimed.settled)
    return claimed
  })

  /** As `claim`, of what has a permit. */
  const claimPermitted = Effect.fnUntraced(function* (
    given: Round,
    loop: Loop,
    mayBeVain = false,
  ) {
    const { lanes, limit, regulation } = given
    const request = mayBeVain ? { ...given, mayBeVain: true as const } : given
    if (regulation === undefined || limit === 0) {
      return { ...yield* claim(request, loop), retryInMillis: undefined }
    }
    // Most of the time there is nothing, and to look costs less than to take and give back.
    const depth = yield* answering("round", runs.depth(lanes, limit))
    const permit = yield* answering(
      "round",
      permits.take(regulation, Math.min(limit, depth)),
    )
    const { count, epoch, retryInMillis } = permit
    const claimed = yield* claim({ ...(count > 0 ? given : request), limit: count }, loop)
    const unused = count - claimed.grants.length
    // Should it fail, fewer start than may, and nothing else is wrong.
    if (unused > 0 && isCounted(regulation)) {
      yield* Effect.ignore(permits.giveBack(regulation, permit, unused))
    }
    return {
      ...claimed,
      grants: epoch === undefined
        ? claimed.grants
        : claimed.grants.map((grant) => ({ ...grant, epoch })),
      retryInMillis,
    }
  })

  const pass: Transport["Service"]["pass"] = Effect.fnUntraced(function* (run, breaker, limited) {
    const found = yield* answering("pass", runs.find(run))
    // Whoever is not known is not started either.
    if (Option.isNone(found)) return Passage.cases.Open.make({ key: "" })
    const { gate, namespace, task } = found.value
    const key = (gate && Waiting.keyOf(gate)) ?? ""
    const permit = yield* answering(
      "pass",
      permits.take(regulationOfKey(namespace, task, breaker, key), 1),
    )
    const { count, epoch } = permit
    if (count > 0) {
      return Passage.cases.Open.make({ key, ...(epoch !== undefined && { epoch }) })
    }
    if (limited !== undefined && isCounted(limited)) {
      yield* Effect.ignore(permits.giveBack(limited, permit, 1))
    }
    return Passage.cases.Closed.make({ retryInMillis: postponedMillis(permit) })
  })

  const settle = Effect.fnUntraced(
    function* (incarnation: Incarnation, reports: ReadonlyArray<Report>) {
      const { freed, settled } = yield* answering("settle", runs.settle(incarnation, reports))
      yield* admit(freed)
      yield* hear(reports, settled)
      return settled
    },
  )

  const hear = (reports: ReadonlyArray<Report>, settled: ReadonlyArray<Settled>) =>
    Hearing.hear(permits, reports.filter((_, at) => settled[at] === "applied"))

  const round = Effect.fnUntraced(function* (request: Round) {
    const session = yield* sessionOf(request.incarnation)
    const loop = yield* sessions.loop(session, request.loop)
    const isHeard = request.round < loop.round || request.round === loop.round && !request.isAgain
    if (isHeard) {
      return yield* loop.turn.withPermit(claim({ ...request, isAgain: true, limit: 0 }, loop))
    }
    const superseded = yield* loop.supersede(request.round)
    return yield* loop.turn.withPermit(inTurn(request, loop, superseded))
  })

  const inTurn = Effect.fnUntraced(function* (request: Round, loop: Loop, superseded: Latch.Latch) {
    if (request.looks === true) return yield* look(request, loop, superseded)
    const claimed = yield* claimPermitted(request, loop)
    if (claimed.grants.length > 0 || request.waitMillis <= 0) return claimed
    const grants = yield* waitForGrants({ ...request, reports: [] }, loop, superseded)
    return { settled: claimed.settled, grants }
  })

  /** What is to be had, and when to look again if nothing is. */
  const lookOnce = Effect.fnUntraced(function* ({ lanes, regulation }: Round) {
    const depth = yield* answering("round", runs.depth(lanes, 1))
    if (depth === 0 || regulation === undefined) return { isReady: depth > 0 }
    const { count, retryInMillis } = yield* answering("round", permits.look(regulation))
    return { isReady: count > 0, retryInMillis }
  })

  const look = Effect.fnUntraced(
    function* (request: Round, loop: Loop, superseded: Latch.Latch) {
      const settled = request.reports.length === 0
        ? []
        : yield* settle(request.incarnation, request.reports)
      const isReady = yield* untilSo(
        request,
        loop,
        superseded,
        () =>
          Effect.map(lookOnce(request), ({ isReady, retryInMillis }) => ({
            value: isReady,
            isIt: isReady,
            retryInMillis,
          })),
      )
      return { settled, grants: [], ...(isReady && { isReady: true as const }) }
    },
  )

  const waitForGrants = (request: Round, loop: Loop, superseded: Latch.Latch) =>
    untilSo(
      request,
      loop,
      superseded,
      (isTold) =>
        Effect.map(claimPermitted(request, loop, !isTold), ({ grants, retryInMillis }) => ({
          value: grants,
          isIt: grants.length > 0,
          retryInMillis,
        })),
    )

  /** Tries, now and when something was told of or may be permitted, until the wait is over. */
  const untilSo = Effect.fnUntraced(
    function* <A, E>(
      request: Round,
      loop: Loop,
      superseded: Latch.Latch,
      attempt: (isTold: boolean) => Effect.Effect<Tried<A>, E>,
    ) {
      const until = (yield* elapsed) + request.waitMillis
      const subscription = yield* sessions.listen(loop, request.lanes)
      let isTold = true
      for (;;) {
        yield* subscription.arm
        const { isIt, retryInMillis = Infinity, value } = yield* attempt(isTold)
        const left = until - (yield* elapsed)
        if (isIt || left <= 0) return value
        const look = Math.min(retryInMillis, yield* InStep.pause(storage, lookMillis))
        isTold = yield* unless(superseded, subscription, Math.min(left, look))
        if (superseded.isOpen()) {
          return yield* new TransportUnavailable({
            operation: "round",
            cause: new Error("a later call of the same loop took its place"),
          })
        }
      }
    },
  )

  const beat = Effect.fnUntraced(function* (
    incarnation: Incarnation,
    held: Held,
    vitals?: Vitals,
    endings?: Endings,
  ) {
    const session = yield* sessionOf(incarnation)
    const beaten = yield* answering("beat", executors.beat(incarnation, held, vitals, endings))
    if (beaten._tag === "Lost") yield* sessions.forget(incarnation)
    else if (beaten.revoked.length > 0) yield* session.revoked.open
    return beaten
  })

  const serve = Effect.fnUntraced(
    function* (incarnation: Incarnation, definitions: ReadonlyArray<TaskDefinition>) {
      const flaw = refused(required, definitions)
      if (flaw !== undefined) return yield* flaw
      for (const { name, policy } of definitions) {
        // What is served may come from another program, or another version of this one.
        yield* Effect.fromResult(Policy.check(policy, `${name}.policy`))
      }
      const beaten = yield* answering("serve", executors.beat(incarnation, unknown))
      if (beaten._tag === "Lost") return yield* lost(incarnation)
      yield* answering("serve", executors.serve(incarnation, definitions))
    },
  )

  const revocations = Effect.fnUntraced(function* (incarnation: Incarnation) {
    const session = yield* sessionOf(incarnation)
    const subscription = yield* wakeups.subscribe([ofExecutor(incarnation)])
    for (;;) {
      yield* subscription.arm
      session.revoked.closeUnsafe()
      const beaten = yield* answering("revocations", executors.beat(incarnation, unknown))
      // The executor learns it by its own beat, whose answer has a place for it.
      if (beaten._tag === "Lost") return yield* Effect.never
      const { revoked } = beaten
      if (revoked.length > 0) {
        // They stay revoked until they are settled, so a caller that asks at once must not spin.
        if (!isNews(session, revoked)) yield* unless(session.revoked, subscription, repeatMillis)
        session.told = revoked
        return revoked
      }
      while (!(yield* unless(session.revoked, subscription, longMillis)));
    }
  }, Effect.scoped)

  return Transport.of({
    join: (joining) => answering("join", executors.join(joining)),
    serve,
    round,
    settle,
    start: (incarnation, marks) => answering("start", runs.start(incarnation, marks)),
    pass,
    conclude: (incarnation, conclusions) =>
      answering("conclude", runs.conclude(incarnation, conclusions)),
    state: (namespace, task, key) => answering("state", runs.state(namespace, task, key)),
    beat,
    reconcile: (incarnation, known) =>
      Effect.map(
        answering("reconcile", runs.reconcile(incarnation, known)),
        ({ passed }) => passed,
      ),
    revocations,
    tell: (incarnation, told) =>
      answering("tell", logs.append(incarnation, told.map(withCleanLines))),
    drain: (incarnation) => answering("drain", executors.drain(incarnation)),
    leave: (incarnation) =>
      Effect.andThen(
        answering("leave", executors.leave(incarnation)),
        sessions.forget(incarnation),
      ),
  })
})

/** One look of somebody who waits. */
interface Tried<A> {
  readonly value: A
  readonly isIt: boolean
  /** When to look again, if that is known. */
  readonly retryInMillis?: number | undefined
}

export const layer: Layer.Layer<Transport, never, Storage | Wakeups> = Layer.effect(Transport, make)

/** All transports end here, so no line gets by. */
const withCleanLines = (told: Told): Told => ({
  ...told,
  lines: told.lines.map((line) => ({ ...line, text: LogLine.cleaned(line.text) })),
})

const answering = <A>(
  operation: string,
  command: Effect.Effect<A, StorageUnavailable>,
): Effect.Effect<A, TransportUnavailable> =>
  Effect.mapError(command, (cause) => new TransportUnavailable({ operation, cause }))

/** Milliseconds of a clock that is not set, to measure waits by. */
const elapsed = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))

/** Whether a hint came, or `latch` opened, before the time was up. */
const unless = (latch: Latch.Latch, subscription: Subscription, atMostMillis: number) =>
  Effect.raceFirst(
    subscription.wait(Duration.millis(atMostMillis)),
    Effect.as(latch.await, true),
  )

const isNews = ({ told }: Session, revoked: ReadonlyArray<Revocation>): boolean =>
  !revoked.every(({ fence, isSuspending, run }) =>
    told.some((t) => t.run === run && t.fence === fence && t.isSuspending === isSuspending)
  )

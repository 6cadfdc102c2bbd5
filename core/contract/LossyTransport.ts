/**
 * A transport over another one, on which calls and answers get lost, late, doubled and out of order,
 * and connections break: everything that the comment of `Transport` allows, from one seed.
 *
 * Once sent, a call arrives even if its caller has stopped waiting for the answer, and a doubled one
 * arrives a second time, perhaps long after the first was answered.
 */
import { Duration, Effect, Exit, Fiber, Latch, Random, type Scope } from "effect"
import { Transport, TransportUnavailable } from "../services/Transport.ts"

export interface Faults {
  /** Shares of the calls. */
  readonly requestsLost: number
  readonly answersLost: number
  readonly doubled: number
  /** Each way takes up to this long; doubles take up to ten times as long. */
  readonly delayMillisMax: number
  /** A connection lasts about this long, then all calls under way fail. */
  readonly breaksAfterMillis: number
}

export const usual: Faults = {
  requestsLost: 0.1,
  answersLost: 0.15,
  doubled: 0.15,
  delayMillisMax: 20,
  breaksAfterMillis: 400,
}

/** What really happened, so that a test can tell that it was a hard one. */
export interface Tally {
  calls: number
  requestsLost: number
  answersLost: number
  doubled: number
  breaks: number
}

export const make = (
  inner: Transport["Service"],
  faults: Faults = usual,
): Effect.Effect<
  { readonly transport: Transport["Service"]; readonly tally: Tally },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    // Drawn here, where the seed is, not in whatever fiber happens to call.
    const random = yield* Random.Random
    const scope = yield* Effect.scope
    const tally: Tally = { calls: 0, requestsLost: 0, answersLost: 0, doubled: 0, breaks: 0 }
    let broken = Latch.makeUnsafe()

    const isDue = (share: number) => random.nextDoubleUnsafe() < share
    const delay = (factor = 1) =>
      Effect.suspend(() =>
        Effect.sleep(
          Duration.millis(Math.ceil(random.nextDoubleUnsafe() * faults.delayMillisMax * factor)),
        )
      )

    yield* Effect.suspend(() =>
      Effect.sleep(Duration.millis(faults.breaksAfterMillis * (0.5 + random.nextDoubleUnsafe())))
    ).pipe(
      Effect.andThen(Effect.sync(() => {
        tally.breaks++
        broken.openUnsafe()
        broken = Latch.makeUnsafe()
      })),
      Effect.forever,
      Effect.forkIn(scope),
    )

    const lossy = <A, E>(
      operation: string,
      call: Effect.Effect<A, E>,
      isRepeatable = true,
    ): Effect.Effect<A, E | TransportUnavailable> =>
      Effect.suspend(() => {
        const lost = (what: string) =>
          Effect.fail(new TransportUnavailable({ operation, cause: new Error(what) }))
        const connection = broken
        tally.calls++
        const isRequestLost = isDue(faults.requestsLost)
        const isAnswerLost = isDue(faults.answersLost)
        const isDoubled = isRepeatable && isDue(faults.doubled)
        const underWay = Effect.gen(function* () {
          yield* delay()
          if (isRequestLost) {
            tally.requestsLost++
            yield* delay()
            return yield* lost("the request was lost")
          }
          if (isDoubled) {
            tally.doubled++
            yield* Effect.andThen(delay(10), call).pipe(Effect.exit, Effect.forkIn(scope))
          }
          const carried = yield* Effect.forkIn(Effect.exit(call), scope, { startImmediately: true })
          const exit = yield* Fiber.join(carried)
          yield* delay()
          if (isAnswerLost && Exit.isSuccess(exit)) {
            tally.answersLost++
            return yield* lost("the answer was lost")
          }
          return yield* exit
        })
        return Effect.raceFirst(
          underWay,
          Effect.andThen(connection.await, lost("the connection broke")),
        )
      })

    return {
      tally,
      transport: Transport.of({
        join: (joining) => lossy("join", inner.join(joining)),
        serve: (incarnation, tasks) => lossy("serve", inner.serve(incarnation, tasks)),
        round: (round) => lossy("round", inner.round(round)),
        settle: (incarnation, reports) => lossy("settle", inner.settle(incarnation, reports)),
        start: (incarnation, marks) => lossy("start", inner.start(incarnation, marks)),
        state: (namespace, task, key) => lossy("state", inner.state(namespace, task, key)),
        pass: (run, breaker, regulation) => lossy("pass", inner.pass(run, breaker, regulation)),
        conclude: (incarnation, conclusions) =>
          lossy("conclude", inner.conclude(incarnation, conclusions)),
        beat: (incarnation, held, vitals, endings) =>
          lossy("beat", inner.beat(incarnation, held, vitals, endings)),
        reconcile: (incarnation, known) => lossy("reconcile", inner.reconcile(incarnation, known)),
        // It waits for as long as it takes, so a second copy would wait for ever.
        revocations: (incarnation) => lossy("revocations", inner.revocations(incarnation), false),
        tell: (incarnation, told) => lossy("tell", inner.tell(incarnation, told)),
        drain: (incarnation) => lossy("drain", inner.drain(incarnation)),
        leave: (incarnation) => lossy("leave", inner.leave(incarnation)),
      }),
    }
  })

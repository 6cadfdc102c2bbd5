/**
 * Carries runs out. It knows a `Transport` and nothing else of the world.
 *
 * It joins, lives as that incarnation until it is lost, and joins anew. Who does what, all in one scope:
 *
 * - The *pool* carries granted runs out and makes the reports (`Pool`).
 * - What is plain is claimed in rounds (`PlainClaims`), what is narrow by itself (`NarrowClaims`); whose
 *   the places are that are free is shared out between them (`Claimants`).
 * - Each claim is a trip, which takes along the reports that are ready (`Trips`).
 * - Beats keep the lease of the incarnation (`Beating`).
 * - The *serve loop* says which tasks have handlers here, again whenever they are others.
 * - The *watch loop* waits for orders to stop a run, so that a cancel need not wait for a beat.
 * - The *tell loop* passes on what runs say: within `tellMillis`, and before their reports.
 *
 * At its end it *drains*: it claims nothing more, what runs may finish, and what does not goes back.
 */
import {
  Cause,
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Fiber,
  Latch,
  Layer,
  Option,
  Schema,
  type Scope,
} from "effect"
import type { ByKey } from "../domain/Breaker.ts"
import type { Conclusion } from "../domain/Conclusion.ts"
import { type Incarnation, Joining } from "../domain/Executor.ts"
import { regulationOf } from "../domain/Permit.ts"
import type * as Policy from "../domain/Policy.ts"
import { PoolSizes } from "../domain/PoolSizes.ts"
import { refusalOf, Refused } from "../domain/Refused.ts"
import type { Ending, Grant } from "../services/RunStorage.ts"
import { type JoinRefused, Transport } from "../services/Transport.ts"
import { pause, untilAnswered } from "./answered.ts"
import * as Beating from "./Beating.ts"
import { Beats } from "./Beats.ts"
import { Claimants } from "./Claimants.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"
import { type Handler, servedBy } from "./Handler.ts"
import { Isolation } from "./Isolation.ts"
import * as NarrowClaims from "./NarrowClaims.ts"
import * as PlainClaims from "./PlainClaims.ts"
import * as Pool from "./Pool.ts"
import { Resting } from "./Resting.ts"
import { tellMillis } from "./Telling.ts"
import * as Trips from "./Trips.ts"

export interface ExecutorOptions {
  readonly name?: string
  /** So many runs are carried out at once: `core` and `maximum` in one. */
  readonly concurrency?: number
  /** So many runs are carried out at once while the queue has room. */
  readonly core?: number
  /** So many when the queue is full. */
  readonly maximum?: number
  /** So many runs wait in the executor; unless named as many as it will start within `prefetch`. */
  readonly queueLength?: number
  /** How far ahead runs are fetched, by how long they take. 100 milliseconds unless named. */
  readonly prefetch?: Duration.Input
  /** What selectors ask for. */
  readonly labels?: Readonly<Record<string, string>>
  /** What it offers to runs, as in `{ gpu: 1 }`. */
  readonly resources?: Readonly<Record<string, number>>
  /** The executor is lost when it has not been heard of for this long. */
  readonly ttl?: Duration.Input
  /** At the end running work has this long to finish before it is interrupted and given back. */
  readonly drainTimeout?: Duration.Input
  /** How long a handler that was interrupted may go on until it is stuck; 750 milliseconds unless named. */
  readonly stopTimeout?: Duration.Input
}

/** What is going on in an executor, for those who look on. */
export interface ExecutorStatus {
  readonly incarnation: Incarnation | undefined
  readonly running: number
  readonly queued: number
  /** Handlers that go on although they were interrupted. */
  readonly stuck: number
  readonly sizes: PoolSizes
}

export class Executor extends Context.Service<Executor, {
  /**
   * Serves a task as long as the scope lasts. At its end no run of the task starts any more, and
   * running ones may finish, so that what the handler needs can be closed after it. A second handler of
   * a task that is served is a defect, and the first goes on: which of the two a run met would be chance.
   */
  readonly register: (handler: Handler) => Effect.Effect<void, never, Scope.Scope>
  readonly status: Effect.Effect<ExecutorStatus>
  /** Changes the sizes of the pool while it runs. What has no room any more goes back. */
  readonly resize: (sizes: PoolSizes) => Effect.Effect<void, Refused>
  /** Fails when it has stopped for good: it may not join any more, or a task of it was refused. */
  readonly stopped: Effect.Effect<never, JoinRefused | Refused>
}>()("belfry/core/engine/Executor") {
  static readonly layerWith = (
    options: ExecutorOptions,
  ): Layer.Layer<Executor, Refused | JoinRefused, Transport> =>
    Layer.effect(Executor, Effect.suspend(() => make(options)))

  static readonly layer: Layer.Layer<Executor, Refused | JoinRefused, Transport> = Layer.suspend(
    () => Executor.layerWith({}),
  )
}

const make = Effect.fnUntraced(function* (options: ExecutorOptions) {
  const transport = yield* Transport
  const beats = Option.getOrUndefined(yield* Effect.serviceOption(Beats))
  const isolation = Option.getOrUndefined(yield* Effect.serviceOption(Isolation))
  const clock = yield* Clock.Clock
  const joining = yield* joiningOf(options)
  const { labels, namespace, ttlMillis } = joining
  const sizes = yield* sizesOf(options)
  const stopMillis = Duration.toMillis(
    Duration.fromInputUnsafe(options.stopTimeout ?? "750 millis"),
  )
  const drainTimeout = Duration.fromInputUnsafe(options.drainTimeout ?? "10 seconds")

  const served = Latch.makeUnsafe()
  /** Opens when other tasks are to be claimed than before. */
  const hasOthers = Latch.makeUnsafe()
  const stopped = Deferred.makeUnsafe<never, JoinRefused | Refused>()

  let incarnation: Incarnation | undefined
  const resting = new Resting()

  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const mark = ({ fence, run }: Grant, ending: Ending | undefined) =>
    untilAnswered(
      transport.start(incarnation!, [{ run, fence, ...(ending !== undefined && { ending }) }]),
    ).pipe(
      Effect.timeoutOption(ttlMillis / 2),
      Effect.map((answer) => Option.isSome(answer) && answer.value[0] === true),
    )

  const pass = ({ run, task }: Grant, policy: Policy.Policy, { name }: ByKey) =>
    untilAnswered(
      Effect.suspend(() => transport.pass(run, name, regulationOf(namespace, task, policy))),
    ).pipe(
      Effect.timeoutOption(ttlMillis / 2),
      Effect.map(Option.getOrUndefined),
    )

  const recall = ({ namespace, task }: Grant, key: string) =>
    Effect.map(untilAnswered(transport.state(namespace, task, key)), Option.getOrUndefined)

  const conclude = ({ fence, run }: Grant, conclusion: Conclusion) =>
    Effect.suspend(() =>
      // However late the answer comes, it is about who had the run: not about who this has joined as since.
      untilAnswered(transport.conclude(incarnation!, [{ run, fence, conclusion }]))
    ).pipe(Effect.map(([isOurs]) => isOurs === true))

  const news = Latch.makeUnsafe()
  const urgent = Latch.makeUnsafe()

  const pool: Pool.Pool = yield* Pool.make({
    order: {
      kept: () => claimants.kept(),
      next: (queue) => claimants.next(queue),
    },
    sizes,
    labels,
    stopMillis,
    mark,
    pass,
    conclude,
    recall,
    onChange: () => claimants.wake(),
    onTimed: beats?.begins,
    onEndings: () => beating.onEndings(),
    onGivenBack: (task) => {
      resting.add(task)
      hasOthers.openUnsafe()
    },
    onNews: (isUrgent) => {
      news.openUnsafe()
      if (isUrgent) urgent.openUnsafe()
    },
  })
  const plain = new PlainClaims.Plain(pool, resting)
  const claimants: Claimants = new Claimants(pool, plain)
  const trips = Trips.make({ claimants, labels, namespace, pool, transport })
  const plainClaims = PlainClaims.make({ claimants, hasOthers, plain, pool, trips })
  const narrowClaims = NarrowClaims.make({ claimants, namespace, pool, resting, trips })
  const beating = Beating.make({ beats, monotonic, pool, transport, trips, ttlMillis })

  const watchLoop = (self: Incarnation) =>
    Effect.gen(function* () {
      const revoked = yield* transport.revocations(self)
      revoked.forEach(pool.revoke)
      // The same order comes again until the run's report has arrived.
      yield* Effect.sleep(50)
    }).pipe(Effect.catchTag("TransportUnavailable", () => pause), Effect.forever)

  const tellLoop = Effect.gen(function* () {
    for (;;) {
      yield* news.await
      yield* Effect.raceFirst(Effect.sleep(tellMillis), urgent.await)
      news.closeUnsafe()
      urgent.closeUnsafe()
      while (pool.hasNews()) {
        const told = pool.takeNews()
        // No report waits for ever for what its run said: that is then left out.
        if (told.length > 0) {
          yield* untilAnswered(Effect.suspend(() => transport.tell(incarnation!, told))).pipe(
            Effect.timeoutOption(ttlMillis),
          )
        }
        pool.told()
      }
    }
  })

  const serveLoop = Effect.fnUntraced(function* (self: Incarnation) {
    for (;;) {
      yield* served.close
      yield* untilAnswered(transport.serve(self, definitions()))
      claimants.wake()
      if (Option.isSome(yield* Effect.timeoutOption(served.await, ttlMillis))) continue
      // A call from before, which said less, may have come after it. It has had time to.
      yield* untilAnswered(transport.serve(self, definitions()))
      yield* served.await
    }
  })

  const definitions = () =>
    [...pool.handlers.values()].map((handler) => servedBy(namespace, handler))

  yield* Effect.forkScoped(tellLoop)
  yield* Effect.forkScoped(resting.ending(() => {
    hasOthers.openUnsafe()
    claimants.wake()
  }))

  /** Joins, and lives as that incarnation until it is lost. */
  const live = Effect.fnUntraced(function* (self: Incarnation, joinedAt: number) {
    incarnation = self
    trips.begin()
    plain.begin()
    claimants.wake()
    yield* Effect.raceAllFirst([
      serveLoop(self),
      beating.loop(self, joinedAt),
      watchLoop(self),
      narrowClaims.loops(self, PlainClaims.loopsEnd, plainClaims.look(self)),
      ...plainClaims.rounds.map((loop) => loop(self)),
    ]).pipe(
      Effect.catchTag(
        "SessionLost",
        () => Effect.logWarning("this executor was lost, and joins anew", { incarnation: self }),
      ),
      // When it leaves by itself, what runs may finish; its lease is then still there.
      Effect.ensuring(Effect.sync(() => resting.isAll || beating.letGo())),
    )
    beats?.heard(undefined)
  })

  const join = untilAnswered(Effect.suspend(() => {
    const sentAt = monotonic()
    return Effect.map(transport.join(joining), (self) => ({ self, sentAt }))
  }))

  // The first join is waited for, so that a refusal is the layer's own error.
  const first = yield* join
  const lives = yield* Effect.gen(function* () {
    for (let next = first;; next = yield* join) {
      yield* live(next.self, next.sentAt)
      // A beat whose answer was lost may have been kept: what this had would wait until that lease ends.
      yield* Effect.forkScoped(untilAnswered(transport.leave(next.self)))
    }
  }).pipe(
    Effect.tapError((refused) => Deferred.fail(stopped, refused)),
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.logError("the executor has stopped", cause)
    ),
    Effect.forkScoped,
  )

  /**
   * Waits for runs to end and their reports to be sent; then interrupts them and waits a little.
   *
   * It is bounded, and so may be part of a finalizer as it is. An interruptible finalizer would not
   * run at all when the program was interrupted, as by Control-C.
   */
  const finish = (isFinished: () => boolean, giveBack: () => void) =>
    Effect.gen(function* () {
      const finished = Effect.gen(function* () {
        while (!isFinished()) yield* Effect.sleep(5)
      })
      if (Option.isSome(yield* Effect.timeoutOption(finished, drainTimeout))) return
      giveBack()
      yield* Effect.timeoutOption(finished, "2 seconds")
    })

  // Finalizers run in the opposite order of their making, so the loops still live in this one.
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      resting.isAll = true
      const self = incarnation ?? first.self
      for (const task of [...pool.handlers.keys()]) pool.forsake(task)
      yield* Effect.ignore(Effect.timeout(transport.drain(self), "1 second"))
      yield* finish(
        () => trips.known().length === 0 && !pool.hasNews(),
        () => pool.giveBack(),
      )
      yield* Effect.timeoutOption(Fiber.interrupt(lives), "1 second")
      // Nobody reports any more, so what a hand-over still waits for is moot.
      pool.abandonAll()
      beats?.heard(undefined)
      yield* Effect.ignore(Effect.timeout(transport.leave(self), "1 second"))
    })
  )

  /** The handler where its policy says that it runs. */
  const placed = (handler: Handler): Handler => {
    const { isolation: kind = "fiber" } = handler.policy
    if (kind === "fiber") return handler
    if (isolation !== undefined) return isolation.isolated(handler, kind)
    throw new Refused({
      field: "policy.isolation",
      reason:
        `"${handler.task}" asks for a ${kind} of its own, and which module to load there is ` +
        "not known",
      remedy: "Provide the executor with Isolated.layer({ entry }) of belfry/isolated",
    })
  }

  const unserved = (handler: Handler): Handler => {
    if (!pool.handlers.has(handler.task)) return handler
    throw new Refused({
      field: "task",
      reason: `this executor has a handler of "${handler.task}" already`,
      remedy: "Keep one of the two, or name the other's task differently",
    })
  }

  return Executor.of({
    stopped: Deferred.await(stopped),
    register: (handler) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          pool.serve(placed(unserved(handler)))
          served.openUnsafe()
          narrowClaims.registered()
          hasOthers.openUnsafe()
          // Claims need not wait until everybody can see who serves the task.
          claimants.wake()
        }),
        () =>
          Effect.andThen(
            Effect.sync(() => {
              pool.forsake(handler.task)
              served.openUnsafe()
              hasOthers.openUnsafe()
              // Others need not leave it a place any more.
              claimants.wake()
            }),
            finish(() => pool.running(handler.task) === 0, () => pool.giveBack(handler.task)),
          ),
      ),
    status: Effect.sync(() => ({
      incarnation,
      running: pool.running(),
      queued: pool.queued(),
      stuck: pool.stuck(),
      sizes: pool.sizes(),
    })),
    resize: (sizes) => Effect.map(checkedSizes(sizes), pool.resize),
  })
})

const joiningOf = (options: ExecutorOptions) =>
  Effect.flatMap(CurrentNamespace, (namespace) =>
    Effect.mapError(
      Schema.decodeUnknownEffect(Schema.toType(Joining))({
        namespace,
        name: options.name ?? "executor",
        capacity: options.maximum ?? options.concurrency ?? Math.max(10, options.core ?? 0),
        labels: options.labels ?? {},
        resources: options.resources ?? {},
        ttlMillis: Duration.toMillis(Duration.fromInputUnsafe(options.ttl ?? "10 seconds")),
      }, { reportInput: true }),
      (error) => asOption(refusalOf(error, "executor")),
    ))

const sizesOf = ({ concurrency, core, maximum, prefetch, queueLength }: ExecutorOptions) => {
  const most = maximum ?? concurrency ?? Math.max(10, core ?? 0)
  return checkedSizes({
    core: core ?? concurrency ?? most,
    maximum: most,
    ...(queueLength !== undefined && { queueLength }),
    prefetchMillis: Math.round(Duration.toMillis(Duration.fromInputUnsafe(prefetch ?? 100))),
  })
}

const checkedSizes = (sizes: unknown) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(Schema.toType(PoolSizes))(sizes, { reportInput: true }),
    (error) => asOption(refusalOf(error, "executor")),
  )

/** Named as the option that was given. */
const asOption = ({ field, ...rest }: Refused): Refused =>
  new Refused({
    ...rest,
    field: field.replace(".capacity", ".concurrency").replace(".ttlMillis", ".ttl")
      .replace(".prefetchMillis", ".prefetch"),
  })

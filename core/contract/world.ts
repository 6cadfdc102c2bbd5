/**
 * What all suites share: where a suite runs, how time goes by in it, and the small things its tests
 * are made of.
 *
 * The rules of a contract test, so that one body fits every adapter:
 *
 * - The suites of one adapter share a database, and other tests may run at once. So each test takes
 *   fresh names, never cleans up, and filters what sees everybody's rows (`recover`, `promote`,
 *   `openGates`, `due`) by its own.
 * - Time goes by through `elapse` alone. An adapter may age what is stored instead of moving its
 *   clock, so no test compares an instant read before an `elapse` with one read after it. What
 *   ages, ages alike: due times, leases, ranks, cursors and slots.
 * - Nothing stands within a second of an instant that decides, for adapters whose clock runs.
 */
import { assert, layer as withLayer, type Vitest } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Option, Random } from "effect"
import { TestClock } from "effect/testing"
import { Gate, GateKey } from "../domain/Blocking.ts"
import { ExecutorName, type Incarnation } from "../domain/Executor.ts"
import type { Change } from "../domain/Change.ts"
import * as Lane from "../domain/Lane.ts"
import type { Fence } from "../domain/Lease.ts"
import { Namespace } from "../domain/Namespace.ts"
import type { StateName } from "../domain/Run.ts"
import type { Demand } from "../domain/Rollback.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Failure, RunView } from "../domain/RunView.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../domain/Task.ts"
import type {
  Admission,
  Claimed,
  Grant,
  Known,
  Notice,
  Report,
  RunSpec,
  RunStorage,
} from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"

/** Lets time go by as the adapter sees it; less than none, and its clock is set back. */
export type Elapse<R> = (duration: Duration.Duration) => Effect.Effect<unknown, unknown, R>

export interface Options {
  /** `effect`: on the test clock. `live`: for adapters that wait for real I/O. */
  readonly runner?: "effect" | "live"
  /** The tests of a block wait beside each other. */
  readonly isConcurrent?: boolean
}

export type Tests<R> = Vitest.MethodsNonLive<R>

/** One block of tests over one built layer. */
export const block = <R, E>(
  title: string,
  layer: Layer.Layer<R, E>,
  options: Options,
  tests: (it: Tests<R>) => void,
): void =>
  void withLayer(layer, {
    excludeTestServices: options.runner === "live",
    timeout: Duration.minutes(1),
    ...(options.isConcurrent !== undefined && { concurrent: options.isConcurrent }),
  })(title, tests)

/** Ids of runs tell the time from 2025 on, as turns at a gate do. */
export const present = Date.UTC(2031, 2, 1)

/** Where the test clock is in use, it is in the present from here on. */
export const inThePresent = (options: Options): Effect.Effect<void> =>
  options.runner === "live" ? Effect.void : Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => now < present ? TestClock.setTime(present) : Effect.void,
  )

/** Lets time go by in this process, for what waits in it. */
export const pass = (options: Options) => (duration: Duration.Input): Effect.Effect<void> =>
  options.runner === "live" ? Effect.sleep(duration) : TestClock.adjust(duration)

const batch = crypto.randomUUID().slice(0, 8)
let count = 0

/** A name that no other test uses, nor an earlier one on the same database. */
export const fresh = (kind: string): string => `${kind}-${batch}-${++count}`
export const freshNamespace = (): Namespace => Namespace.make(fresh("ns"))

export const greet = TaskName.make("greet")
export const failure: Failure = { tag: "Boom", message: "it went wrong" }

export const definitionOf = (
  namespace: Namespace,
  name: string = greet,
  purpose?: string,
): TaskDefinition =>
  new TaskDefinition({
    namespace,
    name: TaskName.make(name),
    policy: usualPolicy,
    ...(purpose !== undefined && { purpose }),
  })

export const specOf = (namespace: Namespace, differently: Partial<RunSpec> = {}): RunSpec => ({
  namespace,
  task: greet,
  payload: '{"name":"Ada"}',
  lane: Lane.ofTask(namespace, greet),
  level: Lane.usual,
  delayMillis: 0,
  gate: undefined,
  idempotencyKey: undefined,
  isAtMostOnce: false,
  crashesMax: 3,
  ...differently,
})

/** A gate of its own in `namespace`. */
export const gateOf = (
  namespace: Namespace,
  places: number,
  whenFull: Gate["whenFull"] = "wait",
): Gate => ({ key: GateKey.make(`${namespace}:${fresh("gate")}`), places, whenFull })

export const submitAll = (specs: ReadonlyArray<RunSpec>) =>
  Storage.use(({ runs }) => runs.submit(specs)).pipe(
    Effect.map((answers) =>
      answers.map((answer) => {
        assert.strictEqual(answer._tag, "Submitted")
        return answer.run
      })
    ),
  )

export const submitOne = (spec: RunSpec): Effect.Effect<RunId, unknown, Storage> =>
  Effect.map(submitAll([spec]), ([run]) => run!)

export const found = (run: RunId): Effect.Effect<RunView, unknown, Storage> =>
  Effect.map(
    Storage.use(({ runs }) => runs.find(run)),
    Option.getOrThrowWith(() => new Error(`run ${run} is not known`)),
  )

export const assertState = (run: RunId, state: StateName) =>
  Effect.map(found(run), (view) => assert.strictEqual(view.state, state))

/** Admits at one gate until nothing more is decided. */
export const admitAll = (gate: GateKey) =>
  Effect.gen(function* () {
    const { runs } = yield* Storage
    const all: Array<Admission> = []
    for (;;) {
      const some = yield* runs.admit([gate])
      if (some.length === 0) return all
      all.push(...some)
    }
  })

/** Promotes until nothing is due; the gates at which runs wait now. */
export const promoteAll = Effect.gen(function* () {
  const { runs } = yield* Storage
  const gates = new Set<GateKey>()
  for (;;) {
    const { gates: some, promoted } = yield* runs.promote(500)
    for (const gate of some) gates.add(gate)
    if (promoted === 0) return gates
  }
})

/** Recovers until there is nothing to free; what became of the runs. */
export const recoverAll = Effect.gen(function* () {
  const { runs } = yield* Storage
  const lost: Array<Incarnation> = []
  const freed = new Set<GateKey>()
  const states = new Map<RunId, StateName>()
  for (;;) {
    const recovered = yield* runs.recover(500)
    lost.push(...recovered.lost)
    for (const gate of recovered.freed) freed.add(gate)
    for (const { run, state } of recovered.runs) {
      assert.isFalse(states.has(run), "a grant is freed once")
      states.set(run, state)
    }
    if (recovered.lost.length + recovered.runs.length === 0) return { lost, freed, states }
  }
})

/** The longest ttl an executor may have: it is lost only in tests that want it to be. */
export const ttl = Duration.hours(1)

/** An executor that has joined, with the rounds of its one claim loop counted. */
export interface Hand {
  readonly incarnation: Incarnation
  readonly name: ExecutorName
  readonly claim: (
    limit: number,
    differently?: {
      readonly lanes?: ReadonlyArray<Lane.Lane>
      readonly reports?: ReadonlyArray<Report>
      /** Sends the round before again. */
      readonly isAgain?: boolean
      readonly tellsAge?: true
      readonly mayBeVain?: true
    },
  ) => Effect.Effect<Claimed, unknown, Storage>
  /** The grant of the one run that `claim` is expected to return. */
  readonly one: Effect.Effect<Grant, unknown, Storage>
  readonly settle: (
    ...reports: ReadonlyArray<Report>
  ) => Effect.Effect<Omit<Claimed, "grants">, unknown, Storage>
  readonly start: (grant: Held) => Effect.Effect<boolean, unknown, Storage>
  readonly beat: Effect.Effect<unknown, unknown, Storage>
  /** The rounds answered so far, as `reconcile` wants them. */
  readonly answered: () => Known["rounds"]
  readonly leave: Effect.Effect<void, unknown, Storage>
}

export interface Held {
  readonly run: RunId
  readonly fence: Fence
}

export const nothingHeld = { count: 0, digest: 0 }

export const joined = (
  namespace: Namespace,
  ttlOfIt: Duration.Duration = ttl,
): Effect.Effect<Hand, unknown, Storage> =>
  Effect.gen(function* () {
    const { executors, runs } = yield* Storage
    const name = ExecutorName.make(fresh("executor"))
    const incarnation = yield* executors.join({
      namespace,
      name,
      capacity: 10,
      labels: {},
      ttlMillis: Duration.toMillis(ttlOfIt),
    })
    yield* executors.serve(incarnation, [definitionOf(namespace)])
    let round = 0
    const claim: Hand["claim"] = (limit, differently = {}) =>
      Effect.gen(function* () {
        const isAgain = differently.isAgain ?? false
        if (!isAgain) round++
        const answer = yield* runs.claim({
          incarnation,
          loop: 1,
          round,
          isAgain,
          lanes: differently.lanes ?? [Lane.ofTask(namespace, greet)],
          limit,
          reports: differently.reports ?? [],
          ...(differently.tellsAge !== undefined && { tellsAge: differently.tellsAge }),
          ...(differently.mayBeVain !== undefined && { mayBeVain: differently.mayBeVain }),
        })
        if (answer === "Lost") return assert.fail("the executor is lost")
        return answer
      })
    return {
      incarnation,
      name,
      claim,
      one: Effect.map(claim(1), ({ grants }) => {
        assert.strictEqual(grants.length, 1, "one run is granted")
        return grants[0]!
      }),
      settle: (...reports) => runs.settle(incarnation, reports),
      start: ({ fence, run }) =>
        Effect.map(runs.start(incarnation, [{ run, fence }]), ([mayRun]) => mayRun!),
      beat: executors.beat(incarnation, nothingHeld),
      answered: () => [{ loop: 1, round }],
      leave: executors.leave(incarnation),
    }
  })

export const succeed = ({ fence, run }: Held, result?: string): Report => ({
  _tag: "Succeed",
  run,
  fence,
  ...(result !== undefined && { result }),
})
export const retry = ({ fence, run }: Held, delayMillis = 0): Report => ({
  _tag: "Retry",
  run,
  fence,
  delayMillis,
  failure,
})
export const giveUp = ({ fence, run }: Held): Report => ({ _tag: "GiveUp", run, fence, failure })
export const timeOut = ({ fence, run }: Held): Report => ({
  _tag: "TimeOut",
  run,
  fence,
  failure: { tag: "TimedOut", message: "it took too long" },
})
export const release = ({ fence, run }: Held): Report => ({ _tag: "Release", run, fence })
export const postpone = ({ fence, run }: Held, delayMillis: number): Report => ({
  _tag: "Postpone",
  run,
  fence,
  delayMillis,
})
export const abort = ({ fence, run }: Held): Report => ({ _tag: "Abort", run, fence })
/** Stopped for another one. */
export const giveWay = ({ fence, run }: Held): Report => ({
  _tag: "Abort",
  run,
  fence,
  failure: { tag: "Replaced", message: "replaced by run 7" },
})
export const discard = ({ fence, run }: Held): Report => ({
  _tag: "Discard",
  run,
  fence,
  failure: { tag: "Discarded", message: "busy" },
})

export const putDown = ({ fence, run }: Held, checkpoint?: string): Report => ({
  _tag: "Yield",
  run,
  fence,
  ...(checkpoint !== undefined && { checkpoint }),
})
export const handOver = ({ fence, run }: Held, timeoutMillis?: number): Report => ({
  _tag: "Await",
  run,
  fence,
  ...(timeoutMillis !== undefined && { timeoutMillis }),
})

/** The answer of an order about a run that is known. */
const orderedOf = <A>(
  order: (runs: RunStorage, run: RunId) => Effect.Effect<Option.Option<A>, unknown>,
) =>
(run: RunId) =>
  Effect.map(
    Storage.use(({ runs }) => order(runs, run)),
    Option.getOrThrowWith(() => new Error(`run ${run} is not known`)),
  )

export const cancelled = orderedOf((runs, run) => runs.cancel(run))
export const suspended = orderedOf((runs, run) => runs.suspend(run))
export const resumed = orderedOf((runs, run) => runs.resume(run))
export const changed = (run: RunId, change: Change) =>
  orderedOf((runs, run) => runs.change(run, change))(run)
export const revived = orderedOf((runs, run) => runs.revive(run))
export const rolledBack = (run: RunId, demand?: Demand) =>
  orderedOf((runs, run) => runs.rollback(run, demand))(run)
export const notified = (run: RunId, notice: Notice = { _tag: "Succeeded" }) =>
  orderedOf((runs, run) => runs.notify(run, notice))(run)

/** Expires until there is nothing to end; what became of the runs. */
export const expireAll = Effect.gen(function* () {
  const { runs } = yield* Storage
  const freed = new Set<GateKey>()
  const states = new Map<RunId, StateName>()
  for (;;) {
    const expired = yield* runs.expire(500)
    for (const gate of expired.freed) freed.add(gate)
    for (const { run, state } of expired.runs) states.set(run, state)
    if (expired.runs.length === 0) return { freed, states }
  }
})

export const ids = (held: ReadonlyArray<{ readonly run: RunId }>): ReadonlyArray<RunId> =>
  held.map(({ run }) => run)

export const sorted = <A extends number | string>(values: Iterable<A>): ReadonlyArray<A> =>
  [...values].sort((a, b) => a < b ? -1 : a > b ? 1 : 0)

/** Every effect at once, each started before any is waited for. */
export const together = <A, E, R>(effects: Iterable<Effect.Effect<A, E, R>>) =>
  Effect.all([...effects], { concurrency: "unbounded" })

export const times = (count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, at) => at)

/** One of `values`, as the seed has it. */
export const oneOf = <A>(values: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.next, (chance) => values[Math.floor(chance * values.length)]!)

/** Runs `effect` with a clock that is `millis` off, as a caller with a wrong clock would. */
export const withClockOff = (millis: number) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Clock.Clock,
    (clock) => Effect.provideService(effect, Clock.Clock, offBy(clock, () => millis)),
  )

/**
 * A clock that runs on its own, and can be put forward or set: for a store on the Effect clock in tests
 * that wait for real I/O. `layer` goes below the store, `elapse` to the suite.
 */
export const movableClock = (): {
  readonly layer: Layer.Layer<never>
  readonly elapse: Elapse<never>
  /** Sets the clock, while no time goes by: to so much more than it would say. */
  readonly set: (byMillis: number) => Effect.Effect<void>
} => {
  let ahead = 0
  let off = 0
  return {
    layer: Layer.effect(
      Clock.Clock,
      Effect.map(Clock.Clock, (clock) =>
        Object.create(offBy(clock, () => ahead + off), {
          // Time has gone by: a clock that was merely set would be noticed.
          monotonicTimeNanosUnsafe: {
            value: () => clock.monotonicTimeNanosUnsafe() + BigInt(Math.round(ahead)) * 1_000_000n,
          },
        })),
    ),
    elapse: (duration) =>
      Effect.sync(() => {
        ahead += Duration.toMillis(duration)
      }),
    set: (byMillis) =>
      Effect.sync(() => {
        off += byMillis
      }),
  }
}

const offBy = (clock: Clock.Clock, millis: () => number): Clock.Clock =>
  Object.create(clock, {
    currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + millis() },
    currentTimeMillis: {
      value: Effect.map(clock.currentTimeMillis, (now) => now + millis()),
    },
  })

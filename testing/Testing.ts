/**
 * The engine over the memory storage, in virtual time: a month of schedules passes while a test
 * draws breath.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Layer, Schema } from "effect"
 * import { Task, Trigger } from "belfry"
 * import { Testing } from "belfry/testing"
 *
 * const Report = Task.make("report", { payload: { book: Schema.String } })
 *
 * const Live = Layer.merge(
 *   Report.toLayer(() => Effect.sleep("3 minutes")),
 *   Report.schedule("nightly", Trigger.cron("0 3 * * *"), { book: "gl" }),
 * ).pipe(Layer.provideMerge(Testing.layer))
 *
 * const test = Effect.gen(function* () {
 *   const testing = yield* Testing
 *   yield* testing.advance("30 days")
 *   assert.equal((yield* testing.slots("nightly")).length, 30)
 *   assert.equal((yield* testing.runs(Report)).every(({ state }) => state === "Succeeded"), true)
 * })
 * await Effect.runPromise(Effect.provide(test, Live))
 * ```
 *
 * Time moves in `advance`, and while somebody waits for a run (`execute`, `result`). At each instant
 * everything comes to rest before the next. A handler that awaits something real, such as a file, is
 * waited for in real time, for a while.
 */
import {
  Clock,
  Context,
  DateTime,
  Duration,
  Effect,
  Latch,
  Layer,
  Random,
  Scheduler,
  Semaphore,
} from "effect"
import * as Direct from "../adapters/direct/mod.ts"
import { standingOf } from "../adapters/memory/MemoryExecutors.ts"
import * as Memory from "../adapters/memory/mod.ts"
import { MemoryState } from "../adapters/memory/mod.ts"
import { Refused } from "../core/domain/Refused.ts"
import * as Run from "../core/domain/Run.ts"
import type { RunId } from "../core/domain/RunId.ts"
import type { RunView } from "../core/domain/RunView.ts"
import { TaskName } from "../core/domain/Task.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import { Executor } from "../core/engine/Executor.ts"
import type { Hooks } from "../core/engine/Handler.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import { Locks } from "../core/engine/Locks.ts"
import { Scheduler as Runs } from "../core/engine/Scheduler.ts"
import { Triggers, type TriggerUnknown } from "../core/engine/Triggers.ts"
import type { Lock } from "../core/services/Lock.ts"
import { Storage } from "../core/services/Storage.ts"
import type { StorageUnavailable } from "../core/services/StorageUnavailable.ts"
import { type JoinRefused, Transport } from "../core/services/Transport.ts"
import type { SlotRecord } from "../core/services/TriggerStorage.ts"
import type { Wakeups } from "../core/services/Wakeups.ts"
import { NotEnded } from "./NotEnded.ts"
import { reportOf } from "./report.ts"
import { isVirtual, type Kind, type Tally, VirtualTime } from "./VirtualTime.ts"

export interface TestingOptions {
  /** When the test begins: `2030-01-01T00:00:00Z`, a Tuesday, unless given. */
  readonly start?: DateTime.DateTime.Input
  /** What chance is drawn from, in the engine (jitter) and in handlers (`Random`). */
  readonly seed?: string | number
  /** So many runs are carried out at once. */
  readonly concurrency?: number
  /** How long `execute` and `result` wait for a run, in virtual time: a day. */
  readonly waitAtMost?: Duration.Input
  /** How long time stands still for a run that awaits something real, in real time: a second. */
  readonly patience?: Duration.Input
  /** How long a handler that was interrupted may go on until it is stuck: 1.5 seconds. */
  readonly stopTimeout?: Duration.Input
}

/** What programs under test are given, as they would be by an embedded engine. */
export type Services = Executor | Runs | Triggers | Locks | Storage | Wakeups | Lock

export class Testing extends Context.Service<Testing, {
  readonly now: Effect.Effect<DateTime.Utc>
  /** Moves time on; what is due meanwhile is done, at its instant. */
  readonly advance: (duration: Duration.Input) => Effect.Effect<void>
  /**
   * Time passes and nobody does anything, as when all machines are down. Slots are missed, and an
   * outage of more than an hour costs the executor its lease, so that its runs are carried out
   * again.
   */
  readonly outage: (duration: Duration.Input) => Effect.Effect<void>
  /** All runs, or those of a task, the earliest first. */
  readonly runs: (
    task?: { readonly name: string },
  ) => Effect.Effect<ReadonlyArray<RunView>, StorageUnavailable>
  /** How the slots of a trigger ended, the earliest first. */
  readonly slots: (
    trigger: string,
  ) => Effect.Effect<ReadonlyArray<SlotRecord>, TriggerUnknown | StorageUnavailable>
  /** What became of triggers and runs so far, as text. */
  readonly report: Effect.Effect<string>
}>()("belfry/testing/Testing") {
  static readonly layerWith = (
    options: TestingOptions,
  ): Layer.Layer<Testing | Services, Refused | JoinRefused> =>
    Layer.effectContext(Effect.suspend(() => make(options)))

  static readonly layer: Layer.Layer<Testing | Services, Refused | JoinRefused> = Layer.suspend(
    () => Testing.layerWith({}),
  )
}

/** A run under way, and for how long time still stands still for it. */
interface Carried {
  readonly tally: Tally
  patienceMillis: number
}

const standardStart = "2030-01-01T00:00:00Z"
const kept = 1_000_000
/** The engine looks this often at least, in virtual time, while somebody waits for what it may see. */
const roundMillis = { waiting: 60_000, unfinished: 1_800_000 }
/** The longest there is. Runs are started for two thirds of it after each beat. */
const ttlMillis = 3_600_000

/** Longer than anything waits that closes. */
const closingMillis = 60_000

const make = Effect.fnUntraced(function* (options: TestingOptions) {
  const scope = yield* Effect.scope
  const namespace = yield* CurrentNamespace
  const start = yield* startOf(options.start ?? standardStart)
  const patienceMillis = Duration.toMillis(Duration.fromInputUnsafe(options.patience ?? "1 second"))
  const waitMillis = Duration.toMillis(Duration.fromInputUnsafe(options.waitAtMost ?? "1 day"))
  const real = Clock.Clock.defaultValue()
  const time = new VirtualTime(start, Scheduler.Scheduler.defaultValue())
  const state = new MemoryState({ finished: kept, records: kept })

  const own = time.clock("punctual")
  const world = Context.make(Clock.Clock, own as Clock.Clock).pipe(
    Context.add(Scheduler.Scheduler, time.scheduler),
    Context.add(Random.Random, yield* Random.withSeed(Random.Random, options.seed ?? 1)),
  )
  const engine = yield* Layer.buildWithScope(engineOver(state, time, options), scope).pipe(
    Effect.provideContext(world),
  )
  const { runs: storedRuns } = Context.get(engine, Storage)
  const executor = Context.get(engine, Executor)
  const scheduler = Context.get(engine, Runs)
  const triggers = Context.get(engine, Triggers)

  const carried = new Set<Carried>()
  const turn = Semaphore.makeUnsafe(1)
  const isStill = Latch.makeUnsafe(true)
  const waiters = new Set<{ readonly run: RunId; readonly latch: Latch.Latch }>()
  let lookedAt = start

  const hasEnded = (run: RunId) => {
    const entry = state.runs.get(run)
    return entry === undefined || Run.isFinal(entry.state._tag)
  }

  /** Whether anybody waited for a run that has ended. */
  const tellEnded = () => {
    let isAny = false
    for (const waiter of waiters) {
      if (!hasEnded(waiter.run)) continue
      isAny = true
      waiters.delete(waiter)
      waiter.latch.openUnsafe()
    }
    return isAny
  }

  /** Waits while somebody else moves time; as good as sleeping. */
  const awaitEnd = (run: RunId, tally: Tally) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const waiter = { run, latch: Latch.makeUnsafe(hasEnded(run)) }
        waiters.add(waiter)
        tally.sleeping++
        return waiter
      }),
      ({ latch }) => latch.await,
      (waiter) =>
        Effect.sync(() => {
          waiters.delete(waiter)
          tally.sleeping--
        }),
    )

  /** All that can be done at this instant is done, also what takes a little real time. */
  const rest = Effect.gen(function* () {
    for (;;) {
      yield* time.rest
      if (tellEnded()) continue
      const busy = [...carried].filter(({ patienceMillis, tally }) =>
        tally.sleeping === 0 && patienceMillis > 0
      )
      if (busy.length === 0) return
      const before = real.monotonicTimeNanosUnsafe()
      yield* real.sleep(Duration.millis(1))
      const passed = Number(real.monotonicTimeNanosUnsafe() - before) / 1e6
      for (const each of busy) each.patienceMillis -= passed
    }
  })

  const due = {
    fires: () => {
      let earliest = Infinity
      for (const { view } of state.triggers.values()) {
        if (!view.isPaused && view.cursor !== undefined) earliest = Math.min(earliest, view.cursor)
      }
      return earliest
    },
    moves: () =>
      Math.min(
        state.scheduled.first?.dueAt ?? Infinity,
        state.deadlines.first?.deadlineAt ?? Infinity,
        state.awaiting.first?.awaitsUntil ?? Infinity,
      ),
  }

  const isServing = () =>
    carried.size > 0 || state.members.values().some(({ held }) => held.size > 0)

  /** Whether there are triggers that fire when they see something, of which nobody hints. */
  const isWatching = () =>
    state.triggers.values().some(({ view: { definition: { schedule }, isPaused } }) =>
      !isPaused && (schedule._tag === "Permanent" || schedule._tag === "Tail")
    )

  /**
   * When all look again, whether there was a hint or not: never, when nothing can change that
   * neither is due at an instant nor comes with a hint.
   */
  const nextRound = () => {
    const isWaiting = state.ready.size > 0 || state.blocked.size > 0
    if (isWaiting || isWatching() && isServing()) return lookedAt + roundMillis.waiting
    const isUnfinished = isServing() || state.parents.size > 0 || isWatching()
    return isUnfinished ? lookedAt + roundMillis.unfinished : Infinity
  }

  const wakeExecutor = () => {
    time.wakeAll("serves")
    // A beat lets go of the session of a round that has waited for long; then it asks anew.
    time.wakeAll("awaits")
  }

  /**
   * Moves time on; whether all are to look. They do so after a long time in which nothing could
   * happen: the beats of it are left out, and count as if they had come.
   */
  const set = (instant: number, round: number) => {
    const isLong = instant - lookedAt >= roundMillis.unfinished
    if (isLong) {
      for (const member of state.members.values()) {
        if (standingOf(member, time.now) === "live") member.beatAt = instant
      }
    }
    time.set(instant)
    const isRound = isLong || round <= time.now
    if (isRound) lookedAt = time.now
    return isRound
  }

  const moveTo = (target: number, isEnough: () => boolean = () => false) =>
    Effect.gen(function* () {
      yield* rest
      while (!isEnough()) {
        const round = nextRound()
        const fires = Math.max(time.next("fires"), Math.min(round, due.fires()))
        const moves = Math.max(time.next("moves"), Math.min(round, due.moves()))
        const serves = isServing() ? time.next("serves") : Infinity
        const next = Math.min(round, fires, moves, serves, time.next("punctual"))
        const isRound = set(Math.max(time.now, Math.min(next, target)), round)
        if (next > target && !isRound) return
        if (isRound) {
          wakeExecutor()
          yield* rest
        }
        while (time.wakeOne()) yield* rest
        if (isRound || fires <= time.now) time.wakeAll("fires")
        if (isRound || moves <= time.now) time.wakeAll("moves")
        if (serves <= time.now) wakeExecutor()
        yield* rest
      }
    }).pipe(
      Effect.ensuring(isStill.open),
      (moving) => turn.withPermit(Effect.andThen(isStill.close, moving)),
    )

  /** Moves time until the run has ended, unless somebody else does. */
  const ended = Effect.fnUntraced(function* (run: RunId) {
    const until = time.now + waitMillis
    while (!hasEnded(run)) {
      if (time.now >= until) {
        return yield* Effect.die(
          new NotEnded({ run, waitedMillis: waitMillis, report: yield* report }),
        )
      }
      yield* isStill.isOpen()
        ? moveTo(until, () => hasEnded(run))
        : Effect.raceFirst(isStill.await, awaitEnd(run, own.tally))
    }
    return yield* scheduler.ended(run)
  })

  const listed = (task?: string) =>
    Effect.map(
      storedRuns.list({
        namespace,
        limit: kept,
        ...(task !== undefined && { task: TaskName.make(task) }),
      }),
      (latestFirst) => latestFirst.toReversed(),
    )

  const report = Effect.gen(function* () {
    const runs = yield* listed()
    const unfinished = runs.filter((run) => !Run.isFinal(run.state)).slice(0, 100)
    const reasons = yield* Effect.forEach(
      unfinished,
      ({ id }) => Effect.map(scheduler.why(id), (why) => [id, why] as const),
    )
    return reportOf({
      start,
      now: time.now,
      state,
      triggers: yield* triggers.list(namespace),
      runs,
      why: new Map(reasons),
    })
  }).pipe(Effect.orDie)

  /** Code of the user's, for which time stands still while it awaits something real. */
  const attended =
    <A extends ReadonlyArray<unknown>, B, E>(code: (...given: A) => Effect.Effect<B, E>) =>
    (...given: A): Effect.Effect<B, E> =>
      Effect.suspend(() => {
        const each: Carried = { tally: { sleeping: 0 }, patienceMillis }
        carried.add(each)
        return code(...given).pipe(
          Effect.provideService(Clock.Clock, time.clock("punctual", each.tally)),
          Effect.ensuring(Effect.sync(() => carried.delete(each))),
        )
      })

  const hooksOf = ({ clean, prepare, rollback, summary }: Hooks): Hooks => ({
    ...(prepare !== undefined && { prepare: attended(prepare) }),
    ...(rollback !== undefined && { rollback: attended(rollback) }),
    ...(clean !== undefined && { clean: attended(clean) }),
    ...(summary !== undefined && { summary: attended(summary) }),
  })

  /** What closes may want to sleep, when the test that moved time is over. */
  const flow = Effect.suspend(() => Effect.forkDetach(moveTo(time.now + closingMillis)))
  yield* Effect.addFinalizer(() => flow)

  return engine.pipe(
    Context.merge(world),
    Context.add(Executor, {
      ...executor,
      register: (handler) =>
        Effect.andThen(
          executor.register({
            ...handler,
            carryOut: attended(handler.carryOut),
            hooks: handler.hooks && hooksOf(handler.hooks),
          }),
          Effect.addFinalizer(() => flow),
        ),
    }),
    Context.add(Runs, {
      ...scheduler,
      ended: (run) =>
        Effect.clockWith((clock) =>
          isVirtual(clock) && clock !== own
            // In a handler, which cannot move the time it lives in.
            ? Effect.andThen(awaitEnd(run, clock.tally), scheduler.ended(run))
            : ended(run)
        ),
    }),
    Context.add(Testing, {
      now: Effect.sync(() => DateTime.makeUnsafe(time.now)),
      advance: (duration) =>
        Effect.suspend(() =>
          moveTo(time.now + Duration.toMillis(Duration.fromInputUnsafe(duration)))
        ),
      outage: (duration) =>
        Effect.gen(function* () {
          yield* moveTo(time.now)
          time.set(time.now + Duration.toMillis(Duration.fromInputUnsafe(duration)))
          // The executor learns first of all whether it was lost, and then stops what it does.
          wakeExecutor()
          yield* rest
          yield* moveTo(time.now)
        }),
      runs: (task) => listed(task?.name),
      slots: (trigger) =>
        Effect.map(
          triggers.records(namespace, trigger, kept),
          (latestFirst) => latestFirst.toReversed(),
        ),
      report,
    }),
  )
})

const engineOver = (
  state: MemoryState,
  time: VirtualTime,
  { concurrency, stopTimeout }: TestingOptions,
) => {
  const by = (kind: Kind) => Layer.succeed(Clock.Clock, time.clock(kind))
  return Layer.mergeAll(
    Executor.layerWith({
      name: "testing",
      ttl: ttlMillis,
      // A test that ends is not kept waiting for what it left running.
      drainTimeout: 0,
      ...(concurrency !== undefined && { concurrency }),
      ...(stopTimeout !== undefined && { stopTimeout }),
    }).pipe(Layer.provide(transportIn(time)), Layer.provide(by("serves"))),
    Runs.layer.pipe(Layer.provide(by("moves"))),
    Triggers.layerWith({ auditInterval: "1 hour", auditWindow: "1 day" }).pipe(
      Layer.provide(by("fires")),
    ),
    Locks.layer,
  ).pipe(
    Layer.provide(LocalOwnership.layer),
    Layer.provideMerge(Memory.layerOver(state)),
    // Two worlds share nothing, not even what is always the same.
    Layer.fresh,
  )
}

/** Its rounds that wait for work are told when there is some. */
const transportIn = (time: VirtualTime) => {
  const waiting = time.clock("awaits")
  return Layer.effect(
    Transport,
    Effect.map(Transport, (transport) =>
      Transport.of({
        ...transport,
        round: (round) => Effect.provideService(transport.round(round), Clock.Clock, waiting),
      })),
  ).pipe(Layer.provide(Direct.layer))
}

const startOf = (start: DateTime.DateTime.Input) =>
  Effect.mapError(
    Effect.fromOption(DateTime.make(start)),
    () =>
      new Refused({
        field: "start",
        reason: `"${String(start)}" is not an instant`,
        remedy: 'Write it as in "2030-01-01T00:00:00Z"',
      }),
  ).pipe(Effect.map(DateTime.toEpochMillis))

/**
 * Runs that are over their time with an executor of which nothing is heard, in virtual time over the
 * memory storage.
 *
 * Tried, and caught: told with the next usual beat only; told of every run at once; what was left not
 * taken back for a summary, soon or at all, or for what is put down; nothing left with the mark of a
 * start; swept only every second; breakers not told; taken back, or left, what has ended before its
 * report was answered.
 */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { times } from "../contract/world.ts"
import * as Blocking from "../domain/Blocking.ts"
import * as Breaker from "../domain/Breaker.ts"
import { standard } from "../domain/Namespace.ts"
import * as Retry from "../domain/Retry.ts"
import type { RunId } from "../domain/RunId.ts"
import { Storage } from "../services/Storage.ts"
import { Transport } from "../services/Transport.ts"
import { CurrentRun } from "./CurrentRun.ts"
import { Executor, type ExecutorOptions } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const timeout = "3 seconds"
const world = Layer.provideMerge(
  Layer.merge(Layer.provide(Scheduler.layer, LocalOwnership.layer), Direct.layer),
  Memory.layer,
)

/** An executor with a lease of ten seconds, of which nothing is heard any more once it is cut off. */
const served = Effect.fnUntraced(function* <R>(
  handlers: Layer.Layer<never, never, R | Executor>,
  options: ExecutorOptions = {},
) {
  let isCut = false
  let unheard: string | undefined
  const beats: Array<number> = []
  const transport = behind(yield* Transport, (name, call) =>
    Effect.gen(function* () {
      if (isCut || name === unheard) return yield* Effect.never
      if (name === "beat") {
        beats.push(yield* Effect.map(DateTime.now, DateTime.toEpochMillis))
      }
      const answer = yield* call
      return isCut ? yield* Effect.never : answer
    }) as typeof call)
  const executor = Layer.fresh(Executor.layerWith({ ttl: "10 seconds", ...options }))
  // Never closed: it would wait for runs to end, in a time that does not go by any more.
  yield* Layer.buildWithScope(Layer.provide(handlers, executor), yield* Scope.make()).pipe(
    Effect.provideService(Transport, transport),
  )
  return {
    beats,
    cut: Effect.sync(() => {
      isCut = true
    }),
    /** No such call gets through, and all others do. */
    loses: (name: "round" | "tell") =>
      Effect.sync(() => {
        unheard = name
      }),
    mend: Effect.sync(() => {
      isCut = false
    }),
  }
})

/** A little at a time, as it does. */
const pass = (duration: Duration.Input) =>
  Effect.forEach(
    times(Math.round(Duration.toMillis(Duration.fromInputUnsafe(duration)) / 10)),
    () => TestClock.adjust("10 millis"),
    { discard: true },
  )

const found = (run: RunId) => Scheduler.use(({ find }) => find(run))

const tookMillis = Effect.fnUntraced(function* (run: RunId) {
  const { claimedAt, finishedAt } = yield* found(run)
  return DateTime.toEpochMillis(finishedAt!) - DateTime.toEpochMillis(claimedAt!)
})

const test = (
  name: string,
  body: () => Effect.Effect<unknown, unknown, Layer.Success<typeof world> | Scope.Scope>,
) => it.effect(name, () => body().pipe(Effect.scoped, Effect.provide(world)))

describe("of an executor that is cut off", () => {
  for (const cutAfter of [600, 1500, 2990, 3500]) {
    test(`I17: a run has timed out within two seconds of its time, cut off after ${cutAfter} ms`, () =>
      Effect.gen(function* () {
        const Hangs = Task.make("hangs", { policy: { timeout } })
        // Interrupted it goes on, so that nothing but its executor could say that it has ended.
        const { cut, mend } = yield* served(
          Hangs.toLayer(() => Effect.uninterruptible(Effect.never)),
        )
        yield* pass("1370 millis")
        const run = yield* Hangs.submit({})
        yield* pass(cutAfter)
        yield* cut
        yield* pass(5010 - cutAfter)
        const view = yield* found(run)
        assert.deepInclude(view, { state: "TimedOut", attempt: 1, crashes: 0 })
        assert.include(view.failure?.message, "its executor has not said what became of it")
        const took = yield* tookMillis(run)
        // Until then its own executor would say so.
        assert.isAtLeast(took, 3000 + 750)
        assert.isAtMost(took, 3000 + 2000)
        yield* mend
        yield* pass("20 seconds")
        assert.deepStrictEqual(yield* found(run), view)
      }))
  }

  test("I17: a run is tried again as its policy says, by another, and the first changes nothing", () =>
    Effect.gen(function* () {
      const Hangs = Task.make("hangs", {
        policy: {
          timeout,
          retry: Retry.exponential({ attempts: 2, delayMillis: 1000, jitter: 0 }),
        },
      })
      // It has no place left for which something at the other end would go on to wait.
      const first = yield* served(Hangs.toLayer(() => Effect.never), { concurrency: 1 })
      const run = yield* Hangs.submit({})
      yield* pass("1 second")
      yield* first.cut
      let begunAt = 0
      yield* served(
        Hangs.toLayer(() =>
          Effect.gen(function* () {
            begunAt = DateTime.toEpochMillis(yield* DateTime.now)
            assert.strictEqual((yield* CurrentRun).attempt, 2)
          })
        ),
      )
      const before = DateTime.toEpochMillis(yield* DateTime.now)
      yield* pass("6 seconds")
      assert.deepInclude(yield* found(run), { state: "Succeeded", attempt: 2, fence: 2 as never })
      assert.isAtLeast(begunAt - before, 3750 + 1000 - 1000)
      yield* first.mend
      yield* pass("20 seconds")
      assert.deepInclude(yield* found(run), { state: "Succeeded", attempt: 2 })
      const kinds = (yield* Scheduler.use(({ events }) => events(run))).map(({ kind }) => kind)
      assert.deepStrictEqual(
        kinds.filter((kind) => kind !== "LateReport"),
        ["Submitted", "Claimed", "Retried", "Claimed", "Succeeded"],
      )
    }))

  test("I17: one whose start was marked has timed out, though it was cut off with that", () =>
    Effect.gen(function* () {
      const Once = Task.make("once", { policy: { timeout, delivery: "at-most-once" } })
      let cutOff = Effect.void
      const executor = yield* served(
        Once.toLayer(() => Effect.andThen(Effect.suspend(() => cutOff), Effect.never)),
      )
      cutOff = executor.cut
      const run = yield* Once.submit({})
      yield* pass("5010 millis")
      assert.deepInclude(yield* found(run), { state: "TimedOut", attempt: 1 })
      assert.isAtMost(yield* tookMillis(run), 5000)
    }))

  const unreported = [["round", false], ["round", true], ["tell", false]] as const
  for (const [name, isRetried] of unreported) {
    const then = isRetried ? "is tried again" : "has timed out"
    test(`I17: one that was over its time and was not reported ${then}, as each ${name} was lost`, () =>
      Effect.gen(function* () {
        const retry = Retry.exponential({ attempts: 2, delayMillis: 60_000, jitter: 0 })
        const Hangs = Task.make("hangs", { policy: { timeout, ...(isRetried && { retry }) } })
        const { beats, cut, loses } = yield* served(
          Hangs.toLayer(() => Effect.onInterrupt(Effect.never, () => Effect.log("too late"))),
        )
        yield* pass("1370 millis")
        const begunAt = DateTime.toEpochMillis(yield* DateTime.now)
        const run = yield* Hangs.submit({})
        yield* pass("1 second")
        // Of this one it tells with a beat of its own, so that the next one comes when the first has ended.
        yield* Hangs.submit({})
        yield* pass("200 millis")
        yield* loses(name)
        yield* pass("2530 millis")
        assert.isAbove(beats.at(-1)! - begunAt, 3000)
        yield* cut
        yield* pass("1270 millis")
        const { attempt, failure, state } = yield* found(run)
        assert.deepStrictEqual([state, attempt], [isRetried ? "Scheduled" : "TimedOut", 1])
        assert.include(failure?.message, "and was interrupted")
      }))
  }

  test("I17: what has ended in time and could not be reported passes on with the lease", () =>
    Effect.gen(function* () {
      const Ends = Task.make("ends", { policy: { timeout } })
      const { cut, loses } = yield* served(Ends.toLayer(() => Effect.sleep("2 seconds")))
      const run = yield* Ends.submit({})
      yield* pass("1 second")
      yield* loses("round")
      yield* pass("4 seconds")
      yield* cut
      yield* pass("7 seconds")
      assert.strictEqual((yield* found(run)).state, "Running")
      yield* pass("5 seconds")
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 0, crashes: 0 })
    }))

  test("I17: one that storage has not heard of passes on with the lease, as one never begun", () =>
    Effect.gen(function* () {
      const Hangs = Task.make("hangs", { policy: { timeout } })
      let cutOff = Effect.void
      const executor = yield* served(
        Hangs.toLayer(() => Effect.andThen(Effect.suspend(() => cutOff), Effect.never)),
      )
      cutOff = executor.cut
      const run = yield* Hangs.submit({})
      yield* pass("12 seconds")
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 0, crashes: 0 })
      // From then on it is known when it begins.
      yield* served(Hangs.toLayer(() => Effect.never))
      yield* pass("1 second")
      assert.strictEqual((yield* found(run)).state, "Running")
      yield* pass("6 seconds")
      assert.deepInclude(yield* found(run), { state: "TimedOut", attempt: 1 })
    }))

  test("I17: one that it was to put down is suspended, as its lease ends", () =>
    Effect.gen(function* () {
      const Put = Task.make("put", { policy: { timeout } })
      const { cut } = yield* served(
        Put.toLayer(() => Effect.onInterrupt(Effect.never, () => Effect.sleep("6 seconds"))),
        { stopTimeout: "7 seconds" },
      )
      const run = yield* Put.submit({})
      yield* pass("1 second")
      yield* Scheduler.use(({ suspend }) => suspend(run))
      yield* pass("3 seconds")
      yield* cut
      yield* pass("15 seconds")
      assert.deepInclude(yield* found(run), { state: "Suspended", attempt: 0 })
    }))

  test("I17: the gate is free, and the breaker has heard of it", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const settings = { ...Breaker.usual, callsMin: 1, badInARow: 1 }
      yield* permits.set(standard, "outside", settings)
      const Hangs = Task.make("hangs", {
        policy: { timeout, blocking: Blocking.fifo, breaker: "outside" },
      })
      const { cut } = yield* served(Hangs.toLayer(() => Effect.never))
      const run = yield* Hangs.submit({})
      const next = yield* Hangs.submit({})
      yield* pass("1 second")
      assert.strictEqual((yield* found(next)).state, "Blocked")
      yield* cut
      yield* pass("5 seconds")
      assert.strictEqual((yield* found(run)).state, "TimedOut")
      assert.strictEqual((yield* found(next)).state, "Ready")
      const breaker = yield* permits.find(standard, "outside")
      assert.strictEqual(breaker.valueOrUndefined?.state, "Open")
    }))
})

describe("an executor that is heard of", () => {
  test("I17: takes all its time to stop, if that was granted to it", () =>
    Effect.gen(function* () {
      const Slow = Task.make("slow", { policy: { timeout } })
      yield* served(
        Slow.toLayer(() => Effect.onInterrupt(Effect.never, () => Effect.sleep("6 seconds"))),
        { stopTimeout: "7 seconds" },
      )
      const run = yield* Slow.submit({})
      yield* pass("12 seconds")
      const { failure, state } = yield* found(run)
      assert.strictEqual(state, "TimedOut")
      assert.include(failure?.message, "was interrupted")
      assert.approximately(yield* tookMillis(run), 9000, 30)
    }))

  test("I17: takes all its time for what comes after, or hands over, just in time", () =>
    Effect.gen(function* () {
      const justInTime = Effect.sleep("2900 millis")
      const Sums = Task.make("sums", { policy: { timeout } })
      const Hands = Task.make("hands", { policy: { timeout } })
      yield* served(
        Layer.mergeAll(
          Sums.toLayer(() => justInTime, {
            summary: () => Effect.as(Effect.sleep("8 seconds"), "done"),
          }),
          Hands.toLayer(() =>
            Effect.gen(function* () {
              yield* justInTime
              return yield* (yield* CurrentRun).handOver("1 minute")
            })
          ),
        ),
      )
      const all = [yield* Sums.submit({}), yield* Hands.submit({})]
      yield* pass("12 seconds")
      const states = (yield* Effect.forEach(all, found)).map(({ state }) => state)
      assert.deepStrictEqual(states, ["Succeeded", "Awaiting"])
      assert.approximately(yield* tookMillis(all[0]!), 10_900, 30)
    }))

  test("I17: beats as ever for runs that end soon, have no time-out or one that is far off", () =>
    Effect.gen(function* () {
      const Quick = Task.make("quick", { policy: { timeout } })
      const Plain = Task.make("plain")
      const Far = Task.make("far", { policy: { timeout: "15 seconds" } })
      const said: Array<unknown> = []
      const storage = yield* Storage
      const { beat } = storage.executors
      const told = Layer.succeed(Storage, {
        ...storage,
        executors: {
          ...storage.executors,
          beat: (...all: Parameters<typeof beat>) => {
            if (all[2] !== undefined) said.push(all[3])
            return beat(...all)
          },
        },
      })
      const direct = yield* Layer.build(Layer.provide(Layer.fresh(Direct.layer), told))
      const { beats } = yield* served(
        Layer.mergeAll(
          Quick.toLayer(() => Effect.sleep("100 millis")),
          Plain.toLayer(() => Effect.sleep("9 seconds")),
          Far.toLayer(() => Effect.sleep("4 seconds")),
        ),
      ).pipe(Effect.provideContext(direct))
      // A beat takes along whatever goes on as it goes out.
      yield* pass("370 millis")
      for (const _ of times(20)) {
        yield* Quick.submit({})
        yield* Plain.submit({})
        yield* Far.submit({})
        yield* pass("500 millis")
      }
      assert.isAtMost(beats.length, 4)
      assert.deepStrictEqual(said.filter((each) => each !== undefined), [])
    }))

  test("I17: beats eight times a second at most, however many begin", () =>
    Effect.gen(function* () {
      const Some = Task.make("some", { policy: { timeout } })
      const { beats } = yield* served(Some.toLayer(() => Effect.sleep("1 second")))
      for (const _ of times(200)) {
        yield* Some.submit({})
        yield* pass("50 millis")
      }
      assert.isAbove(beats.length, 10)
      assert.isAtMost(beats.length, 82)
    }))
})

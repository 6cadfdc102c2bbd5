/**
 * What an executor does that is cut off, in virtual time over the memory storage: by the end of its
 * lease, counted from when the last beat that was answered was sent, it has stopped what runs.
 *
 * Tried, and caught: the end looked at only after a beat that failed; a lease that counts from the answer; a
 * reconcile that is waited for; a thread that keeps the lease not asked; what is lost not left; a beat
 * without an answer made again only in its turn; claims, and those made again, while nothing may begin.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Latch, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { Transport, TransportUnavailable } from "../services/Transport.ts"
import { pauseMillisMax } from "./answered.ts"
import { type Beat, Beats } from "./Beats.ts"
import { CurrentRun } from "./CurrentRun.ts"
import { Executor, type ExecutorOptions } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const ttlMillis = 10_000
/** So long it takes until a beat is answered. */
const answerMillis = 200
const Plain = Task.make("plain")
/** It ends by itself once nothing may begin any more, but for an answered beat, and before the lease does. */
const Ending = Task.make("ending")
const Timed = Task.make("timed", { policy: { timeout: "3 seconds" } })

const world = Layer.provideMerge(
  Layer.merge(
    Layer.provide(Scheduler.layerWith({ sweepInterval: "50 millis" }), LocalOwnership.layer),
    Direct.layer,
  ),
  Memory.layer,
)

/** Two executors: `first` can be cut off, and the other has what it lost. */
const pair = Effect.fnUntraced(function* (options: ExecutorOptions = {}) {
  let isCut = false
  let isAnswered = (_: string) => true
  let isClosed = (_: string) => false
  const isClosing = Latch.makeUnsafe()
  /** When beats that were answered had been sent. */
  const beats: Array<number> = []
  const transport = behind(yield* Transport, (name, call) =>
    Effect.gen(function* () {
      if (isCut) return yield* Effect.never
      const closed = Effect.fail(new TransportUnavailable({ operation: name, cause: "closed" }))
      if (isClosed(name)) return yield* closed
      const sentAt = yield* Clock.currentTimeMillis
      const answer = yield* Effect.raceFirst(call, Effect.andThen(isClosing.await, closed))
      // What counts is when it was sent.
      if (name === "beat") yield* Effect.sleep(answerMillis)
      if (isCut || !isAnswered(name)) return yield* Effect.never
      if (name === "beat") beats.push(sentAt)
      return answer
    }) as typeof call)

  const begun = new Map<string, Array<number>>()
  const stopped: Array<number> = []
  const working = (name: string) =>
    Effect.gen(function* () {
      begun.set(name, [...begun.get(name) ?? [], yield* Clock.currentTimeMillis])
      yield* CurrentRun
      yield* Effect.never
    }).pipe(
      Effect.onInterrupt(() =>
        Effect.map(Clock.currentTimeMillis, (at) => {
          if (name === "first") stopped.push(at)
        })
      ),
    )
  const serving = (name: string, options: ExecutorOptions) => {
    const handlers = Layer.mergeAll(
      Plain.toLayer(() => working(name)),
      Timed.toLayer(() => working(name)),
      Ending.toLayer(() => Effect.sleep(ttlMillis * 0.97)),
    )
    return Layer.provide(handlers, Layer.fresh(Executor.layerWith({ name, ...options })))
  }
  const scope = yield* Scope.make()
  yield* Layer.buildWithScope(serving("first", { ttl: ttlMillis, ...options }), scope).pipe(
    Effect.provideService(Transport, transport),
  )
  return {
    beats,
    begun,
    stopped,
    scope,
    cut: Effect.sync(() => {
      isCut = true
    }),
    only: (isSo: (name: string) => boolean) => {
      isAnswered = isSo
    },
    /** Such calls fail at once, as does what is under way. */
    close: (isSo: (name: string) => boolean) => {
      isClosed = isSo
      return isClosing.release
    },
    // Never closed: it would wait for runs to end, in a time that does not go by any more.
    another: Effect.flatMap(
      Scope.make(),
      (scope) => Layer.buildWithScope(serving("other", { ttl: "1 hour" }), scope),
    ),
  }
})

const pass = (millis: number) =>
  Effect.gen(function* () {
    for (let passed = 0; passed < millis; passed += 50) yield* TestClock.adjust(50)
  })

/** Its handlers were stopped by the end of its lease, and the other began their runs no sooner. */
const assertStoppedInTime = (
  { beats, begun, stopped }: Effect.Success<ReturnType<typeof pair>>,
  count: number,
) => {
  const sentAt = beats.at(-1)!
  assert.strictEqual(stopped.length, count)
  for (const at of stopped) assert.isAtMost(at - sentAt, ttlMillis)
  assert.isAtLeast(begun.get("other")!.length, 1)
  for (const at of begun.get("other")!) assert.isAtLeast(at, Math.max(...stopped))
}

const test = (
  name: string,
  body: () => Effect.Effect<unknown, unknown, Layer.Success<typeof world> | Scope.Scope>,
) => it.effect(name, () => body().pipe(Effect.scoped, Effect.provide(world)))

describe("B3: an executor that is cut off", () => {
  test("stops what runs by the end of its lease, though it has beaten out of turn", () =>
    Effect.gen(function* () {
      const both = yield* pair()
      yield* Plain.submit({})
      while (both.beats.length === 0) yield* pass(50)
      // Cut off right after an answer; a fifth of its lease later it would leave how a run is to end.
      yield* pass(ttlMillis / 5 - answerMillis - 150)
      yield* Timed.submit({})
      yield* pass(50)
      yield* both.cut
      assert.strictEqual(both.begun.get("first")!.length, 2)
      yield* both.another
      yield* pass(2 * ttlMillis)
      assertStoppedInTime(both, 2)
    }))

  for (const cutAfter of [50, 1000, 2400]) {
    test(`stops what runs by the end of its lease, cut off ${cutAfter} ms after a beat`, () =>
      Effect.gen(function* () {
        const both = yield* pair()
        yield* Plain.submit({})
        while (both.beats.length === 0) yield* pass(50)
        yield* pass(cutAfter)
        yield* both.cut
        yield* both.another
        yield* pass(2 * ttlMillis)
        assertStoppedInTime(both, 1)
      }))
  }

  test("stops what runs also while it waits to be told what it holds", () =>
    Effect.gen(function* () {
      const both = yield* pair()
      yield* Plain.submit({})
      while (both.beats.length === 0) yield* pass(50)
      // What it is granted never arrives, so that its next beat is not agreed with.
      both.only((name) => name === "beat")
      yield* Plain.submit({})
      const before = both.beats.length
      while (both.beats.length === before) yield* pass(50)
      yield* both.cut
      yield* both.another
      yield* pass(2 * ttlMillis)
      assertStoppedInTime(both, 1)
    }))

  test("stops what runs also while it drains", () =>
    Effect.gen(function* () {
      const both = yield* pair({ drainTimeout: "1 hour" })
      yield* Plain.submit({})
      while (both.beats.length === 0) yield* pass(50)
      yield* Effect.forkDetach(Scope.close(both.scope, Exit.void), { startImmediately: true })
      yield* pass(100)
      yield* both.cut
      yield* both.another
      yield* pass(2 * ttlMillis)
      assertStoppedInTime(both, 1)
    }))

  test("goes on for as long as another thread keeps its lease, and no longer", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const clock = yield* Clock.Clock
      const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      let last: Beat | undefined
      let keptAt: number | undefined
      const beats = Beats.of({
        heard: (beat) => {
          last = beat
        },
        begins: () => {},
        keptMillisAgo: () => keptAt === undefined ? undefined : monotonic() - keptAt,
      })
      const both = yield* Effect.provideService(pair(), Beats, beats)
      yield* Plain.submit({})
      while (both.beats.length === 0) yield* pass(50)
      yield* both.cut
      for (let nth = 0; nth < 20; nth++) {
        yield* pass(ttlMillis / 5)
        const sentAt = monotonic()
        yield* transport.beat(last!.incarnation, last!.held, last!.vitals)
        keptAt = sentAt
        both.beats.push(yield* Clock.currentTimeMillis)
      }
      assert.deepStrictEqual(both.stopped, [])
      yield* both.another
      yield* pass(2 * ttlMillis)
      assertStoppedInTime(both, 1)
    }))
})

describe("an executor whose way was closed", () => {
  test("leaves what it has lost, also while storage takes it for alive", () =>
    Effect.gen(function* () {
      const both = yield* pair()
      yield* Plain.submit({})
      while (both.beats.length === 0) yield* pass(50)
      // Each beat is kept from here on, and none is answered.
      both.only((name) => name !== "beat")
      yield* both.another
      yield* pass(ttlMillis + 500)
      const [stopped] = both.stopped
      assert.isAtMost(stopped! - both.beats.at(-1)!, ttlMillis)
      const again = [...both.begun.get("first")!.slice(1), ...both.begun.get("other") ?? []]
      assert.strictEqual(again.length, 1)
      assert.isAtLeast(again[0]!, stopped!)
      assert.isAtMost(again[0]! - stopped!, 200)
    }))

  test("beats as soon as it is open again, and claims nothing before that", () =>
    Effect.gen(function* () {
      const heard: Array<number> = []
      const clock = yield* Clock.Clock
      const beats = Beats.of({
        heard: () => heard.push(clock.currentTimeMillisUnsafe()),
        begins: () => {},
        keptMillisAgo: () => undefined,
      })
      // So it asks for more with what it reports.
      const both = yield* Effect.provideService(pair({ concurrency: 1 }), Beats, beats)
      const ending = yield* Ending.submit({})
      while (both.beats.length === 0) yield* pass(50)
      const closedAt = yield* Clock.currentTimeMillis
      yield* both.close(() => true)
      // Nothing may begin any more, and its lease goes on.
      yield* pass(ttlMillis * 0.7)
      const waiting = yield* Plain.submit({})
      yield* both.close((name) => name === "beat")
      yield* pass(500)
      const { find } = yield* Scheduler
      assert.strictEqual((yield* find(ending)).state, "Succeeded")
      assert.strictEqual((yield* find(waiting)).state, "Ready")
      // Whoever else keeps its lease is not told of each: it would wait for ever.
      assert.lengthOf(heard.filter((at) => at > closedAt), 1)
      yield* both.close(() => false)
      yield* pass(pauseMillisMax + answerMillis + 50)
      assert.strictEqual(both.begun.get("first")?.length, 1)
      assert.isBelow(both.beats[1]! - both.beats[0]!, ttlMillis)
    }))
})

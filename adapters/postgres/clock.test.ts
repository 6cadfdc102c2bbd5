/** What becomes of leases when the clock of the database is set, and whose clock it is that counts. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option, Result } from "effect"
import {
  assertState,
  fresh,
  freshNamespace,
  joined,
  nothingHeld,
  recoverAll,
  specOf,
  submitAll,
  succeed,
  withClockOff,
} from "../../core/contract/world.ts"
import { unlessSet } from "../../core/contract/runs/overdue.ts"
import { LockKey } from "../../core/domain/Lease.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Postgres from "./mod.ts"
import { another, client, elapse, layer, setClock, TestStorage } from "./TestStorage.ts"

const hour = 3_600_000
const ttl = Duration.seconds(30)

withLayer(layer, { excludeTestServices: true })("the clock of the database", (it) => {
  for (const [which, millis] of [["forward", hour], ["back", -hour]] as const) {
    it.effect(`I22: set an hour ${which}, it ends no lease, and each in time`, () =>
      Effect.gen(function* () {
        const { executors } = yield* Storage
        const lock = yield* Lock
        const namespace = freshNamespace()
        const dead = yield* joined(namespace, ttl)
        yield* elapse(Duration.seconds(31))
        const ada = yield* joined(namespace, ttl)
        const bob = yield* joined(namespace, ttl)
        const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
        const grant = yield* ada.one
        const theirs = yield* bob.one
        const key = LockKey.make(fresh("key"))
        const expired = LockKey.make(fresh("key"))
        yield* lock.acquire(expired, "ada", Duration.seconds(2))
        const lease = Option.getOrThrow(yield* lock.acquire(key, "ada", ttl))
        yield* elapse(Duration.seconds(10))

        yield* setClock(millis)
        // Whoever comes first: a claim, a beat, a lock, the sweep.
        yield* ada.claim(1)
        assert.strictEqual((yield* executors.beat(bob.incarnation, nothingHeld))._tag, "Alive")
        assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)))
        assert.isTrue(Option.isSome(yield* lock.acquire(expired, "bob", Duration.seconds(2))))
        yield* lock.renew(lease, ttl)
        const { lost } = yield* recoverAll
        assert.notInclude(lost, ada.incarnation)
        assert.notInclude(lost, bob.incarnation)
        assert.strictEqual((yield* executors.beat(dead.incarnation, nothingHeld))._tag, "Lost")
        yield* assertState(first!, "Running")
        assert.deepEqual((yield* ada.settle(succeed(grant))).settled, ["applied"])

        // Ada has not beaten for 31 seconds then, and Bob for 21.
        yield* elapse(Duration.seconds(21))
        assert.deepEqual((yield* recoverAll).lost, [ada.incarnation])
        assert.strictEqual((yield* executors.beat(bob.incarnation, nothingHeld))._tag, "Alive")
        yield* assertState(second!, "Running")
        yield* elapse(Duration.seconds(10))
        assert.isTrue(Result.isFailure(yield* Effect.result(lock.renew(lease, ttl))))
        assert.isTrue(Option.isSome(yield* lock.acquire(key, "bob", ttl)))
        assert.deepEqual((yield* bob.settle(succeed(theirs))).settled, ["applied"])
        yield* bob.leave
      }))

    it.effect(`I22, R41 overdue: set an hour ${which}, no run is ended for it`, () =>
      unlessSet(setClock, elapse, millis))

    for (const command of ["a claim", "a beat", "the sweep", "a lock"] as const) {
      it.effect(`I22: set an hour ${which}, and ${command} comes first`, () =>
        Effect.gen(function* () {
          const { executors, runs } = yield* Storage
          const lock = yield* Lock
          const namespace = freshNamespace()
          const ada = yield* joined(namespace, ttl)
          const key = LockKey.make(fresh("key"))
          const lease = Option.getOrThrow(yield* lock.acquire(key, "ada", ttl))
          yield* setClock(millis)
          if (command === "a claim") yield* ada.claim(1)
          if (command === "a beat") yield* ada.beat
          if (command === "the sweep") yield* runs.recover(100)
          if (command === "a lock") assert.isTrue(Option.isNone(yield* lock.acquire(key, "b", ttl)))
          assert.notInclude((yield* recoverAll).lost, ada.incarnation)
          yield* lock.renew(lease, ttl)
          const beaten = yield* executors.beat(ada.incarnation, nothingHeld)
          assert.strictEqual(beaten._tag, "Alive")
          yield* ada.leave
        }))
    }
  }

  it.effect("I22: one step that many processes notice is settled once", () =>
    Effect.gen(function* () {
      const contexts = yield* Effect.all([1, 2, 3, 4].map(() => Layer.build(another())))
      const sql = yield* client
      const number = Effect.map(
        sql<{ number: number }>`SELECT number FROM clock_step`,
        ([row]) => row!.number,
      )
      const before = yield* number
      const namespace = freshNamespace()
      const ada = yield* joined(namespace, ttl)
      yield* setClock(-hour)
      yield* Effect.all(
        contexts.map((context) => Context.get(context, Storage).runs.recover(100)),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(yield* number, before + 1)
      yield* elapse(Duration.seconds(31))
      const { lost } = yield* Context.get(contexts[3]!, Storage).runs.recover(100)
      assert.include(lost, ada.incarnation, "and no lease lasts longer for it")
    }).pipe(Effect.scoped))

  it.effect("I22: a process that has slept ends no lease, and brings none back", () =>
    Effect.gen(function* () {
      const { url } = yield* TestStorage
      const lock = yield* Lock
      const namespace = freshNamespace()
      const key = LockKey.make(fresh("key"))
      // To this one no time goes by, as to a machine that is suspended.
      const sleeper = yield* Layer.build(Layer.fresh(Postgres.layer({ url })))
      const gone = yield* joined(namespace, ttl)
      yield* lock.acquire(key, "ada", ttl)
      yield* elapse(Duration.minutes(50))
      assert.include((yield* recoverAll).lost, gone.incarnation)
      yield* elapse(Duration.minutes(10))
      const live = yield* joined(namespace, ttl)
      // A claim that is refused is a reason to look at the clock.
      yield* Effect.exit(gone.claim(1))
      const beaten = yield* Context.get(sleeper, Storage).executors.beat(
        live.incarnation,
        nothingHeld,
      )
      assert.strictEqual(beaten._tag, "Alive")
      const lease = yield* Context.get(sleeper, Lock).acquire(key, "bob", ttl)
      assert.isTrue(Option.isSome(lease), "it expired an hour ago")
    }).pipe(Effect.scoped))

  it.effect("I22: steps while executors beat, claim and sweep lose none of them", () =>
    Effect.gen(function* () {
      const { executors, runs } = yield* Storage
      const namespace = freshNamespace()
      const hands = yield* Effect.all([1, 2, 3].map(() => joined(namespace, Duration.seconds(5))))
      const forever = <E>(effect: Effect.Effect<unknown, E>) =>
        Effect.forkChild(Effect.forever(Effect.andThen(effect, Effect.sleep("5 millis"))))
      const fibers = [
        ...(yield* Effect.all(hands.map(({ incarnation }) =>
          forever(Effect.map(
            executors.beat(incarnation, nothingHeld),
            ({ _tag }) => assert.strictEqual(_tag, "Alive"),
          ))
        ))),
        yield* forever(Effect.map(runs.recover(10), ({ lost }) => {
          for (const { incarnation } of hands) assert.notInclude(lost, incarnation)
        })),
      ]
      for (const millis of [hour, -hour, hour, hour, -3 * hour, hour]) {
        yield* setClock(millis)
        yield* Effect.sleep("150 millis")
        for (const hand of hands) yield* hand.claim(1)
      }
      for (const fiber of fibers) assert.isUndefined(fiber.pollUnsafe(), "nothing has failed")
      yield* Fiber.interruptAll(fibers)
      for (const hand of hands) yield* hand.leave
    }))

  for (const millis of [hour, -hour]) {
    it.effect(`B44: a process whose own clock is ${millis} ms off leaves no trace of it`, () =>
      Effect.gen(function* () {
        const { now, runs } = yield* Storage
        const namespace = freshNamespace()
        const before = yield* now
        const [run] = yield* submitAll([specOf(namespace)]).pipe(withClockOff(millis))
        const hand = yield* joined(namespace).pipe(withClockOff(millis))
        yield* hand.settle(succeed(yield* hand.one)).pipe(withClockOff(millis))
        const after = yield* now
        const view = Option.getOrThrow(yield* runs.find(run!))
        for (const at of [view.createdAt, view.claimedAt!, view.finishedAt!]) {
          assert.isAtLeast(at.epochMilliseconds, before)
          assert.isAtMost(at.epochMilliseconds, after)
        }
      }))
  }

  it.effect("B44: what the clock of the database says is the time, also 90 seconds ahead", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const before = yield* now
      yield* setClock(90_000)
      assert.isAtLeast((yield* now) - before, 90_000)
      assert.isBelow((yield* now) - before, 100_000)
    }))
})

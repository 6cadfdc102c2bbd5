import { assert, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Exit, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { unlessSet } from "../../core/contract/runs/overdue.ts"
import { ExecutorName, type Joining } from "../../core/domain/Executor.ts"
import { LockKey } from "../../core/domain/Lease.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"
import { freshFile } from "./fresh.fixture.ts"

const hour = 3_600_000
const joining = (name: string): Joining => ({
  namespace: standard,
  name: ExecutorName.make(name),
  capacity: 1,
  labels: {},
  ttlMillis: 10_000,
})
const nothing = { count: 0, digest: 0 }

/** Storage and locks on a clock that can be set. */
const settable = (file: string) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let step = hour * 24
    const stepped: Clock.Clock = Object.create(clock, {
      currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + step },
    })
    const services = yield* Effect.provideService(
      Layer.build(Layer.fresh(Sqlite.layer({ file }))),
      Clock.Clock,
      stepped,
    )
    return {
      storage: Context.get(services, Storage),
      executors: Context.get(services, Storage).executors,
      runs: Context.get(services, Storage).runs,
      lock: Context.get(services, Lock),
      step: (millis: number) => {
        step += millis
      },
    }
  })

for (const [which, millis] of [["forward", hour], ["back", -hour]] as const) {
  it.effect(`I22: a clock that is set an hour ${which} ends no lease, and each in time`, () =>
    Effect.gen(function* () {
      const { executors, lock, runs, step } = yield* settable(":memory:")
      const dead = yield* executors.join(joining("dead"))
      yield* TestClock.adjust(11_000)
      const ada = yield* executors.join(joining("ada"))
      const bob = yield* executors.join(joining("bob"))
      const key = LockKey.make("key")
      const lease = Option.getOrThrow(yield* lock.acquire(key, "ada", Duration.seconds(10)))
      yield* TestClock.adjust(5000)
      step(millis)
      assert.deepEqual((yield* runs.recover(10)).lost, [], "those lost before were found lost")
      assert.strictEqual((yield* executors.beat(dead, nothing))._tag, "Lost")
      assert.strictEqual((yield* executors.beat(ada, nothing))._tag, "Alive")
      assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", Duration.seconds(10))))
      yield* lock.renew(lease, Duration.seconds(10))
      yield* TestClock.adjust(9000)
      assert.strictEqual((yield* executors.beat(ada, nothing))._tag, "Alive")
      yield* TestClock.adjust(2000)
      assert.deepEqual((yield* runs.recover(10)).lost, [bob])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(lock.renew(lease, Duration.seconds(10)))))
    }))
}

for (const [which, millis] of [["forward", hour], ["back", -hour]] as const) {
  it.effect(`I22: of two processes that see it ${which}, the later one ends no lease either`, () =>
    Effect.gen(function* () {
      const file = yield* freshFile
      const [one, other] = [yield* settable(file), yield* settable(file)]
      const ada = yield* one.executors.join(joining("ada"))
      const key = LockKey.make("key")
      const lease = Option.getOrThrow(yield* one.lock.acquire(key, "ada", Duration.seconds(10)))
      // Both have seen the clock as it was.
      assert.deepEqual((yield* other.runs.recover(10)).lost, [])
      one.step(millis)
      other.step(millis)
      for (const each of [one, other]) {
        yield* TestClock.adjust(2000)
        assert.deepEqual((yield* each.runs.recover(10)).lost, [])
        assert.isTrue(Option.isNone(yield* each.lock.acquire(key, "bob", Duration.seconds(10))))
        assert.strictEqual((yield* each.executors.beat(ada, nothing))._tag, "Alive")
        yield* each.lock.renew(lease, Duration.seconds(10))
      }
      yield* TestClock.adjust(11_000)
      assert.deepEqual((yield* other.runs.recover(10)).lost, [ada])
      assert.isTrue(Option.isSome(yield* other.lock.acquire(key, "bob", Duration.seconds(10))))
    }))
}

for (const [which, millis] of [["forward", hour], ["back", -hour]] as const) {
  it.effect(`I22, R41 overdue: set an hour ${which}, no run is ended for it`, () =>
    Effect.gen(function* () {
      const { step, storage } = yield* settable(":memory:")
      const set = (millis: number) => Effect.sync(() => step(millis))
      yield* Effect.provideService(unlessSet(set, TestClock.adjust, millis), Storage, storage)
    }))
}

/** R9: nothing is granted before its time. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import type { Grant } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  failure,
  found,
  freshNamespace,
  gateOf,
  ids,
  joined,
  promoteAll,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  type Tests,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R9 not early: a delayed run waits its time", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const soon = yield* submitOne(specOf(namespace, { delayMillis: 30_000 }))
      const later = yield* submitOne(specOf(namespace, { delayMillis: 90_000 }))
      yield* elapse(Duration.seconds(25))
      yield* promoteAll
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      yield* assertState(soon, "Scheduled")
      yield* elapse(Duration.seconds(6))
      yield* promoteAll
      assert.deepStrictEqual(ids((yield* hand.claim(5)).grants), [soon])
      yield* assertState(later, "Scheduled")
      yield* elapse(Duration.seconds(60))
      yield* promoteAll
      assert.deepStrictEqual(ids((yield* hand.claim(5)).grants), [later])
    }))

  it.effect("R9 not early: a retry waits its delay, and counts its attempt", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one, 20_000))
      yield* elapse(Duration.seconds(15))
      yield* promoteAll
      assert.deepInclude(yield* found(run), {
        state: "Scheduled",
        attempt: 1,
        fence: Fence.make(1),
        failure,
      })
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      yield* elapse(Duration.seconds(6))
      yield* promoteAll
      assert.deepInclude(yield* hand.one, { run, attempt: 2, fence: Fence.make(2) })
    }))

  it.effect("R31 age: a grant says for how long its run has been due, if it is asked", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace, { delayMillis: 10_000 }))
      yield* elapse(Duration.seconds(12))
      yield* promoteAll
      const aged = (isAgain: boolean) =>
        Effect.map(hand.claim(5, { tellsAge: true, isAgain }), ({ grants: [first] }) => first!)
      const first = yield* aged(false)
      // On a real clock time goes by beside.
      const within = (grant: Grant, seconds: number) => {
        assert.isAtLeast(grant.dueMillisAgo!, seconds * 1000)
        assert.isBelow(grant.dueMillisAgo!, (seconds + 9) * 1000)
      }
      within(first, 2)
      within(yield* aged(true), 2)
      yield* hand.settle(retry(first, 20_000))
      yield* elapse(Duration.seconds(21))
      yield* promoteAll
      const second = yield* aged(false)
      within(second, 23)
      yield* hand.settle(retry(second))
      yield* promoteAll
      assert.notProperty(yield* hand.one, "dueMillisAgo")
    }))

  it.effect("R9 not early: a delayed gated run waits for both", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const run = yield* submitOne(specOf(namespace, { gate, delayMillis: 10_000 }))
      yield* assertState(run, "Scheduled")
      assert.deepEqual(yield* admitAll(gate.key), [])
      const first = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(ids(yield* admitAll(gate.key)), [first], "it holds no place before its time")
      yield* elapse(Duration.seconds(11))
      yield* promoteAll
      yield* assertState(run, "Blocked")
      assert.deepEqual(yield* admitAll(gate.key), [])
      yield* cancelled(first)
      assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
    }))

  it.effect("R9 not early: promote names the gates at which runs now wait", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      yield* submitOne(specOf(namespace, { gate, delayMillis: 5000 }))
      yield* elapse(Duration.seconds(6))
      const gates = yield* promoteAll
      // Somebody else's sweep may have been first; then the gate is open all the same.
      if (!gates.has(gate.key)) assert.include(yield* runs.openGates(100_000), gate.key)
    }))

  it.effect("R9 not early: promote says when the next is due, and keeps to its limit", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      yield* promoteAll
      yield* submitAll([5000, 6000, 7000].map((delayMillis) => specOf(namespace, { delayMillis })))
      const before = yield* runs.promote(500)
      assert.isDefined(before.nextInMillis)
      assert.isAtMost(before.nextInMillis!, 5000)
      yield* elapse(Duration.seconds(10))
      assert.isAtMost((yield* runs.promote(2)).promoted, 2)
      yield* promoteAll
      assert.deepInclude(yield* runs.counts(namespace), { Ready: 3 })
    }))

  it.effect("R9 not early: promoting at once moves each run once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(30).map(() => specOf(namespace, { delayMillis: 5000 })))
      yield* elapse(Duration.seconds(6))
      yield* together(times(5).map(() => runs.promote(10)))
      yield* promoteAll
      const { grants } = yield* hand.claim(100)
      assert.deepStrictEqual(sorted(ids(grants)), sorted(made))
    }))
}

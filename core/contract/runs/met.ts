/** R27: what a holder ends that meets another run where it is held. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  discard,
  found,
  freshNamespace,
  gateOf,
  giveWay,
  joined,
  specOf,
  submitAll,
  submitOne,
  type Tests,
  times,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R27 met: what its holder discards says why, and its attempt is given back", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      assert.deepEqual((yield* hand.settle(discard(grant))).settled, ["applied"])
      const { attempt, failure, fence, finishedAt, state } = yield* found(run)
      assert.deepEqual(
        { attempt, failure, fence, state },
        {
          attempt: 0,
          failure: { tag: "Discarded", message: "busy" },
          fence: grant.fence,
          state: "Discarded",
        },
      )
      assert.isDefined(finishedAt)
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
    }))

  it.effect("R27 met: what its holder discards gives its place back", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [, second] = yield* submitAll(times(2).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      const { freed } = yield* hand.claim(0, { reports: [discard(yield* hand.one)] })
      assert.deepEqual(freed, [gate.key])
      assert.deepEqual(yield* admitAll(gate.key), [{ run: second!, state: "Ready" }])
    }))

  it.effect("R27 met: one that was asked to stop is cancelled", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      assert.strictEqual((yield* cancelled(run)).answer, "requested")
      yield* hand.settle(discard(grant))
      yield* assertState(run, "Cancelled")
    }))

  it.effect("R27 met: what was replaced is cancelled, and says by whom", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.deepEqual((yield* hand.settle(giveWay(yield* hand.one))).settled, ["applied"])
      const { failure, state } = yield* found(run)
      assert.strictEqual(state, "Cancelled")
      assert.deepEqual(failure, { tag: "Replaced", message: "replaced by run 7" })
    }))
}

/** R17: runs that an operator gives another try. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  admitAll,
  assertState,
  failure,
  found,
  freshNamespace,
  gateOf,
  giveUp,
  handOver,
  ids,
  joined,
  notified,
  recoverAll,
  revived,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  timeOut,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R17 revived: what failed or timed out goes on as the same run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const end of [giveUp, timeOut]) {
        const run = yield* submitOne(specOf(namespace))
        const grant = yield* hand.one
        yield* hand.settle(end(grant))
        assert.deepEqual(yield* revived(run), { answer: "confirmed", freed: [] })
        assert.deepEqual(yield* revived(run), { answer: "confirmed", freed: [] })
        const view = yield* found(run)
        assert.deepInclude(view, { state: "Ready", attempt: 1, fence: grant.fence })
        assert.isUndefined(view.finishedAt)
        const again = yield* hand.one
        assert.deepInclude(again, {
          run,
          attempt: 2,
          fence: Fence.make(grant.fence + 1),
          isCareful: true,
        })
        assert.deepEqual((yield* hand.settle(end(grant))).settled, ["duplicate"])
        assert.deepEqual((yield* hand.settle(succeed(again, '"at last"'))).settled, ["applied"])
        const ended = yield* found(run)
        assert.deepInclude(ended, { state: "Succeeded", result: '"at last"' })
        assert.isUndefined(ended.failure)
        const kinds = (yield* runs.events(run)).map(({ kind }) => kind)
        assert.include(kinds, "Revived")
        assert.strictEqual(kinds.at(-1), "Succeeded")
      }
      assert.deepEqual(yield* runs.counts(namespace), { Succeeded: 2 })
    }))

  it.effect("R17 revived, B51: one in quarantine is released, and its crashes are forgotten", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace, { crashesMax: 1 }))
      const crash = Effect.gen(function* () {
        const hand = yield* joined(namespace)
        assert.isTrue(yield* hand.start(yield* hand.one))
        yield* hand.leave
        yield* recoverAll
      })
      yield* crash
      yield* crash
      yield* assertState(run, "Quarantined")
      yield* revived(run)
      assert.deepInclude(yield* found(run), {
        state: "Ready",
        attempt: 2,
        crashes: 0,
        fence: Fence.make(2),
      })
      yield* crash
      assert.deepInclude(yield* found(run), { state: "Ready", crashes: 1 })
      yield* crash
      yield* assertState(run, "Quarantined")
    }))

  it.effect("R17 revived: passes its gate again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [first, second] = yield* submitAll(times(2).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      yield* hand.settle(giveUp(yield* hand.one))
      assert.deepEqual(ids(yield* admitAll(gate.key)), [second!])
      assert.deepEqual(yield* revived(first!), { answer: "confirmed", freed: [gate.key] })
      yield* assertState(first!, "Blocked")
      assert.deepEqual(yield* admitAll(gate.key), [])
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(ids(yield* admitAll(gate.key)), [first!])
      assert.deepInclude(yield* hand.one, { run: first!, attempt: 2 })
    }))

  it.effect("R17 revived: what ended otherwise is left alone", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(succeed(grants[0]!), abort(grants[1]!))
      const before = yield* together(made.map(found))
      for (const run of made) {
        assert.deepEqual(yield* revived(run), { answer: "refused", freed: [] })
      }
      assert.deepStrictEqual(yield* together(made.map(found)), before)
    }))

  it.effect("R17 revived: may be handed over and notified of anew", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(handOver(yield* hand.one))
      yield* notified(run, { _tag: "Failed", failure })
      assert.strictEqual((yield* notified(run)).answer, "duplicate")
      yield* revived(run)
      assert.strictEqual((yield* notified(run)).answer, "refused")
      yield* hand.settle(giveUp(yield* hand.one))
      assert.strictEqual((yield* notified(run)).answer, "ended")
    }))

  it.effect("R17 revived: still says how it failed, also when a notice did", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* notified(run, { _tag: "Failed", failure })
      yield* revived(run)
      assert.deepEqual((yield* found(run)).failure, failure)
    }))

  it.effect("R17 revived: by several at once, once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(5).map(() => specOf(namespace)))
      yield* hand.settle(...(yield* hand.claim(5)).grants.map(giveUp))
      yield* together(made.flatMap((run) => [revived(run), revived(run), revived(run)]))
      assert.deepEqual(yield* runs.counts(namespace), { Ready: 5 })
      assert.strictEqual((yield* hand.claim(9)).grants.length, 5)
    }))
}

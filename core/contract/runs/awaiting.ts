/** R15: runs that are handed over to something outside, which notifies of their end. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { RunId } from "../../domain/RunId.ts"
import { unnotified } from "../../domain/RunView.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  expireAll,
  failure,
  found,
  freshNamespace,
  gateOf,
  handOver,
  ids,
  joined,
  notified,
  recoverAll,
  resumed,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R15 awaiting: what was handed over is held by nobody, and ends by a notice", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [good, bad] = yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      const reports = grants.map((grant) => handOver(grant))
      assert.deepEqual((yield* hand.settle(...reports)).settled, ["applied", "applied"])
      assert.deepEqual((yield* hand.settle(...reports)).settled, ["duplicate", "duplicate"])
      for (const run of [good!, bad!]) {
        assert.deepInclude(yield* found(run), { state: "Awaiting", attempt: 1 })
      }
      assert.strictEqual((yield* hand.settle(succeed(grants[0]!))).settled[0], "duplicate")
      yield* hand.leave
      assert.isFalse((yield* recoverAll).states.has(good!))
      const notice = { _tag: "Succeeded" as const, result: '{"paid":true}' }
      assert.deepEqual(yield* notified(good!, notice), { answer: "applied", freed: [] })
      assert.deepInclude(yield* found(good!), { state: "Succeeded", result: '{"paid":true}' })
      assert.deepEqual(yield* notified(bad!, { _tag: "Failed", failure }), {
        answer: "applied",
        freed: [],
      })
      assert.deepInclude(yield* found(bad!), { state: "Failed", failure })
    }))

  it.effect("R15 awaiting: of many notices at once one counts", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const isEarly of [false, true]) {
        const run = yield* submitOne(specOf(namespace))
        const grant = yield* hand.one
        if (!isEarly) yield* hand.settle(handOver(grant))
        const answers = yield* together(
          times(6).map((n) => notified(run, { _tag: "Succeeded", result: `${n}` })),
        )
        const applied = answers.flatMap(({ answer }, n) => answer === "applied" ? [n] : [])
        assert.strictEqual(applied.length, 1)
        assert.strictEqual(answers.filter(({ answer }) => answer === "duplicate").length, 5)
        assert.deepInclude(yield* found(run), { state: "Succeeded", result: `${applied[0]}` })
        if (isEarly) {
          // It came before its holder had said that it handed it over.
          assert.deepEqual((yield* hand.settle(handOver(grant))).settled, ["fenced"])
          assert.deepInclude(yield* found(run), { state: "Succeeded", result: `${applied[0]}` })
        }
      }
    }))

  it.effect("R15 awaiting: a notice of a handing over under way is not lost", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(10).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(10)
      const answers = yield* together(
        grants.flatMap((grant) => [
          Effect.as(hand.settle(handOver(grant)), "settled"),
          Effect.map(notified(grant.run), ({ answer }) => answer),
        ]),
      )
      assert.strictEqual(answers.filter((answer) => answer === "applied").length, 10)
      for (const { run } of grants) yield* assertState(run, "Succeeded")
    }))

  it.effect("R15 awaiting: keeps its place until it has ended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 2)
      const [first] = yield* submitAll(times(3).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      const { grants: [grant] } = yield* hand.claim(1)
      assert.deepEqual((yield* hand.settle(handOver(grant!))).freed, [])
      assert.deepEqual(yield* admitAll(gate.key), [])
      assert.deepEqual(yield* notified(first!), { answer: "applied", freed: [gate.key] })
      assert.strictEqual((yield* admitAll(gate.key)).length, 1)
    }))

  it.effect("R15 awaiting: past its limit it has timed out, and not before", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const limited = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      yield* hand.settle(handOver(yield* hand.one, 60_000))
      const patient = yield* submitOne(specOf(namespace))
      yield* hand.settle(handOver(yield* hand.one))
      yield* elapse(Duration.seconds(50))
      assert.isFalse((yield* expireAll).states.has(limited))
      yield* assertState(limited, "Awaiting")
      yield* elapse(Duration.seconds(20))
      const { freed, states } = yield* expireAll
      if (states.has(limited)) {
        assert.strictEqual(states.get(limited), "TimedOut")
        assert.isTrue(freed.has(gate.key))
      }
      assert.deepInclude(yield* found(limited), { state: "TimedOut", failure: unnotified })
      yield* assertState(patient, "Awaiting")
      assert.deepEqual(yield* notified(limited), { answer: "ended", freed: [] })
    }))

  it.effect("R15 awaiting: is cancelled at once, and not suspended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(handOver(yield* hand.one))
      assert.strictEqual((yield* suspended(run)).answer, "refused")
      assert.strictEqual((yield* resumed(run)).answer, "confirmed")
      assert.deepEqual(yield* cancelled(run), { answer: "confirmed", freed: [] })
      yield* assertState(run, "Cancelled")
      assert.strictEqual((yield* notified(run)).answer, "ended")
    }))

  it.effect("R15 awaiting: what was asked to stop is not handed over", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [a, b, c] = yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(3)
      for (const { run } of grants) yield* cancelled(run)
      yield* hand.settle(handOver(grants[0]!))
      yield* assertState(a!, "Cancelled")
      assert.strictEqual((yield* notified(b!, { _tag: "Failed", failure })).answer, "applied")
      yield* assertState(b!, "Cancelled")
      assert.strictEqual((yield* notified(c!)).answer, "applied")
      yield* assertState(c!, "Succeeded")
      assert.deepEqual((yield* hand.settle(abort(grants[2]!))).settled, ["fenced"])
    }))

  it.effect("R15 awaiting: what waits takes no notice, nor does what is not known", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [ready, put, done] = yield* submitAll(times(3).map(() => specOf(namespace)))
      yield* suspended(put!)
      yield* cancelled(done!)
      assert.strictEqual((yield* notified(ready!)).answer, "refused")
      assert.strictEqual((yield* notified(put!)).answer, "refused")
      assert.strictEqual((yield* notified(done!)).answer, "ended")
      const unknown = RunId.make(Number.MAX_SAFE_INTEGER - 13)
      const orders = [
        runs.notify(unknown, { _tag: "Succeeded" }),
        runs.suspend(unknown),
        runs.resume(unknown),
        runs.revive(unknown),
      ]
      for (const order of orders) assert.strictEqual((yield* order)._tag, "None")
    }))

  it.effect("R15 awaiting: is listed and counted in its state, as what is suspended is", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [a, b] = yield* submitAll(times(2).map(() => specOf(namespace)))
      yield* hand.settle(handOver(yield* hand.one))
      yield* suspended(b!)
      for (const [run, state] of [[a!, "Awaiting"], [b!, "Suspended"]] as const) {
        const listed = yield* runs.list({ namespace, states: [state], limit: 9 })
        assert.deepEqual(ids(listed.map(({ id }) => ({ run: id }))), [run])
        assert.deepStrictEqual(listed, [yield* found(run)])
      }
      assert.deepEqual(yield* runs.counts(namespace), { Awaiting: 1, Suspended: 1 })
    }))
}

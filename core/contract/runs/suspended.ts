/** R14: runs that are put down, and taken up again. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  expireAll,
  found,
  freshNamespace,
  gateOf,
  ids,
  joined,
  nothingHeld,
  promoteAll,
  putDown,
  recoverAll,
  release,
  resumed,
  retry,
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
  it.effect("R14 suspended: what waits is not granted until it is resumed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.deepEqual(yield* suspended(run), { answer: "confirmed", freed: [] })
      assert.deepEqual(yield* suspended(run), { answer: "confirmed", freed: [] })
      yield* assertState(run, "Suspended")
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      assert.deepEqual(yield* resumed(run), { answer: "confirmed", freed: [] })
      assert.deepEqual(yield* resumed(run), { answer: "confirmed", freed: [] })
      yield* assertState(run, "Ready")
      const grant = yield* hand.one
      assert.deepInclude(grant, { run, attempt: 1, fence: Fence.make(1) })
      assert.isUndefined(grant.checkpoint)
      assert.deepEqual((yield* hand.settle(succeed(grant))).settled, ["applied"])
      assert.deepEqual(yield* suspended(run), { answer: "ended", freed: [] })
      assert.deepEqual(yield* resumed(run), { answer: "ended", freed: [] })
    }))

  it.effect("R14 suspended: its holder is asked, and every grant after has the checkpoint", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const [hand, other] = [yield* joined(namespace), yield* joined(namespace)]
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      assert.isTrue(yield* hand.start(grant))
      assert.deepEqual(yield* suspended(run), { answer: "requested", freed: [] })
      assert.deepInclude(yield* found(run), { state: "Running", isSuspending: true })
      const beaten = yield* executors.beat(hand.incarnation, nothingHeld)
      if (beaten._tag === "Lost") return assert.fail("lost")
      assert.deepEqual(beaten.revoked, [{ run, fence: grant.fence, isSuspending: true }])
      assert.strictEqual((yield* resumed(run)).answer, "refused", "it is not put down yet")
      const report = putDown(grant, '{"step":3}')
      assert.deepEqual((yield* hand.settle(report, report)).settled, ["applied", "duplicate"])
      assert.deepInclude(yield* found(run), { state: "Suspended", attempt: 0, fence: grant.fence })
      assert.isUndefined((yield* found(run)).isSuspending)
      assert.deepStrictEqual((yield* other.claim(5)).grants, [])
      yield* resumed(run)
      // Elsewhere, as the same attempt; and then it is lost, and given back, and has it still.
      const again = yield* other.one
      assert.deepInclude(again, { run, attempt: 1, checkpoint: '{"step":3}' })
      assert.isAbove(again.fence, grant.fence)
      yield* other.settle(release(again))
      const third = yield* hand.one
      assert.strictEqual(third.checkpoint, '{"step":3}')
      yield* hand.settle(putDown(third))
      yield* resumed(run)
      const fourth = yield* hand.one
      assert.strictEqual(fourth.checkpoint, '{"step":3}', "put down without one, it stays")
      yield* hand.settle(putDown(fourth, "4"))
      yield* resumed(run)
      assert.strictEqual((yield* other.claim(1)).grants[0]!.checkpoint, "4")
      const { grants } = yield* other.claim(1, { isAgain: true })
      assert.strictEqual(grants[0]!.checkpoint, "4", "an answer that was lost had it too")
    }))

  it.effect("R14 suspended: after the request, the present grant is the last before a resume", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const ends = [retry, release, succeed, putDown]
      yield* submitAll(ends.map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(4)
      for (const { run } of grants) yield* suspended(run)
      for (const grant of grants) {
        assert.isFalse(yield* hand.start(grant), "user code does not start after the request")
      }
      yield* hand.settle(...grants.map((grant, at) => ends[at]!(grant)))
      const states = ["Suspended", "Suspended", "Succeeded", "Suspended"] as const
      for (const [at, { run }] of grants.entries()) yield* assertState(run, states[at]!)
      assert.deepInclude(yield* found(grants[0]!.run), { attempt: 1 })
      assert.deepInclude(yield* found(grants[1]!.run), { attempt: 0 })
      yield* promoteAll
      assert.deepStrictEqual((yield* hand.claim(9)).grants, [])
    }))

  it.effect("R14 suspended: a holder that is lost has put it down", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [run, frail] = yield* submitAll([
        specOf(namespace),
        specOf(namespace, { crashesMax: 0 }),
      ])
      const { grants } = yield* hand.claim(2)
      for (const grant of grants) assert.isTrue(yield* hand.start(grant))
      for (const grant of grants) yield* suspended(grant.run)
      yield* hand.leave
      const { states } = yield* recoverAll
      if (states.has(run!)) assert.strictEqual(states.get(run!), "Suspended")
      assert.deepInclude(yield* found(run!), { state: "Suspended", crashes: 1, attempt: 1 })
      yield* assertState(frail!, "Quarantined")
    }))

  it.effect("R14 suspended: a holder that does not know of it has put it down", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* suspended(run)
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      assert.deepInclude(yield* found(run), { state: "Suspended", attempt: 0 })
    }))

  it.effect("R14 suspended: a request to stop outdoes it", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [a, b, c] = yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      yield* suspended(a!)
      assert.strictEqual((yield* cancelled(a!)).answer, "requested")
      assert.strictEqual((yield* suspended(a!)).answer, "refused")
      yield* cancelled(b!)
      yield* hand.settle(...grants.map((grant) => putDown(grant, "1")))
      yield* assertState(a!, "Cancelled")
      assert.isUndefined((yield* found(b!)).result)
      yield* assertState(b!, "Cancelled")
      yield* suspended(c!)
      assert.strictEqual((yield* cancelled(c!)).answer, "confirmed")
      yield* assertState(c!, "Cancelled")
    }))

  it.effect("R14 suspended: keeps the place of a queue, so that nothing overtakes it", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [first, second] = yield* submitAll(times(2).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      assert.deepEqual(yield* suspended(first!), { answer: "confirmed", freed: [] })
      assert.deepEqual(yield* admitAll(gate.key), [])
      assert.deepEqual(yield* resumed(first!), { answer: "confirmed", freed: [] })
      const grant = yield* hand.one
      assert.strictEqual(grant.run, first)
      yield* suspended(first!)
      assert.deepEqual(yield* hand.settle(putDown(grant)), { settled: ["applied"], freed: [] })
      assert.deepEqual(yield* admitAll(gate.key), [])
      yield* assertState(second!, "Blocked")
      yield* resumed(first!)
      yield* assertState(first!, "Ready")
      const { freed } = yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(freed, [gate.key])
      assert.deepEqual(ids(yield* admitAll(gate.key)), [second!])
    }))

  it.effect("R14 suspended: gives one of several places back, and waits for one when resumed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 2)
      const [a, b, c, d] = yield* submitAll(times(4).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      const { grants: [ofA] } = yield* hand.claim(1)
      assert.strictEqual(ofA!.run, a)
      yield* suspended(a!)
      const { freed } = yield* hand.settle(putDown(ofA!, "7"))
      assert.deepEqual(freed, [gate.key])
      assert.deepEqual(ids(yield* admitAll(gate.key)), [c!])
      assert.deepEqual(yield* suspended(b!), { answer: "confirmed", freed: [gate.key] })
      assert.deepEqual(ids(yield* admitAll(gate.key)), [d!])
      assert.deepEqual(yield* resumed(a!), { answer: "confirmed", freed: [gate.key] })
      assert.deepInclude(yield* found(a!), { state: "Blocked", fence: ofA!.fence })
      assert.deepEqual(yield* admitAll(gate.key), [], "both places are taken")
      yield* cancelled(c!)
      assert.deepEqual(ids(yield* admitAll(gate.key)), [a!])
      assert.deepInclude(yield* found(a!), { state: "Ready", fence: ofA!.fence })
      const { grants } = yield* hand.claim(9)
      assert.deepInclude(grants.find(({ run }) => run === a)!, { attempt: 1, checkpoint: "7" })
    }))

  it.effect("R14 suspended: one that waits at its gate, or for its time, does so again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [first, second] = yield* submitAll(times(2).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      yield* suspended(second!)
      yield* cancelled(first!)
      assert.deepEqual(yield* admitAll(gate.key), [])
      yield* resumed(second!)
      yield* assertState(second!, "Blocked")
      assert.deepEqual(ids(yield* admitAll(gate.key)), [second!])
      yield* hand.settle(succeed(yield* hand.one))
      const later = yield* submitOne(specOf(namespace, { gate, delayMillis: 60_000 }))
      const between = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one, 60_000))
      for (const run of [later, between]) yield* suspended(run)
      for (const run of [later, between]) yield* resumed(run)
      yield* assertState(later, "Scheduled")
      yield* assertState(between, "Ready")
      yield* suspended(later)
      yield* elapse(Duration.seconds(61))
      yield* promoteAll
      yield* assertState(later, "Suspended")
      yield* resumed(later)
      yield* assertState(later, "Blocked")
    }))

  it.effect("R14 suspended: many orders at once leave it in one place", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(8).map(() => specOf(namespace)))
      yield* together([
        ...made.flatMap((run) => [suspended(run), resumed(run), suspended(run), resumed(run)]),
        hand.claim(4),
        hand.claim(4),
      ].map((each: Effect.Effect<unknown, unknown, Storage>) => each))
      const counts = yield* runs.counts(namespace)
      const kept = Object.values(counts).reduce((sum, count) => sum + count, 0)
      assert.strictEqual(kept, made.length)
      for (const run of made) {
        assert.include(["Ready", "Running", "Suspended"], (yield* found(run)).state)
      }
    }))

  it.effect("R14 suspended: what its holder gave back goes on from the checkpoint, unexpired", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { deadlineMillis: 60_000 }))
      const grant = yield* hand.one
      yield* hand.start(grant)
      const back = { ...release(grant), checkpoint: '{"page":1e400}' }
      assert.deepEqual((yield* hand.settle(back)).settled, ["applied"])
      assert.deepEqual((yield* hand.settle(back)).settled, ["duplicate"])
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 0 })
      yield* elapse(Duration.minutes(2))
      yield* expireAll
      const again = yield* hand.one
      assert.deepInclude(again, { run, attempt: 1, checkpoint: '{"page":1e400}' })
      yield* hand.settle(release(again))
      assert.strictEqual((yield* hand.one).checkpoint, '{"page":1e400}')
    }))
}

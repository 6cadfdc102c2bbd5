/** R10: runs that are asked to stop. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  failure,
  found,
  freshNamespace,
  gateOf,
  giveUp,
  joined,
  recoverAll,
  release,
  retry,
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
  it.effect("R10 cancel: what is not granted yet is confirmed, and never granted", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [scheduled, blocked, ready, admitted] = yield* submitAll([
        specOf(namespace, { delayMillis: 60_000 }),
        specOf(namespace, { gate, level: 2 }),
        specOf(namespace),
        specOf(namespace, { gate }),
      ])
      yield* admitAll(gate.key)
      yield* assertState(admitted!, "Ready")
      for (const run of [scheduled!, blocked!, ready!]) {
        assert.strictEqual((yield* cancelled(run)).answer, "confirmed")
        yield* assertState(run, "Cancelled")
        assert.deepEqual(yield* cancelled(run), { answer: "ended", freed: [] })
      }
      const { answer, freed } = yield* cancelled(admitted!)
      assert.strictEqual(answer, "confirmed")
      assert.deepEqual(freed, [gate.key], "it held a place")
      assert.deepEqual(yield* admitAll(gate.key), [])
      assert.deepEqual((yield* hand.claim(10)).grants, [])
    }))

  it.effect("R10 cancel: a run between attempts is confirmed, and gives its place back", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const run = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      yield* hand.settle(retry(yield* hand.one, 60_000))
      assert.deepEqual(yield* cancelled(run), { answer: "confirmed", freed: [gate.key] })
      assert.deepInclude(yield* found(run), {
        state: "Cancelled",
        attempt: 1,
        fence: Fence.make(1),
      })
    }))

  const endings = [
    [succeed, "Succeeded"],
    [retry, "Cancelled"],
    [giveUp, "Cancelled"],
    [timeOut, "Cancelled"],
    [release, "Cancelled"],
    [abort, "Cancelled"],
  ] as const
  for (const [report, state] of endings) {
    const { _tag } = report({ run: RunId.make(1), fence: Fence.make(1) })
    it.effect(`R10 cancel: after a request, ${_tag} is its end: ${state}`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const gate = gateOf(namespace, 1)
        const run = yield* submitOne(specOf(namespace, { gate }))
        yield* admitAll(gate.key)
        const grant = yield* hand.one
        for (const _ of times(2)) {
          assert.deepEqual(yield* cancelled(run), { answer: "requested", freed: [] })
        }
        assert.deepInclude(yield* found(run), { state: "Running", isCancelling: true })
        assert.isFalse(yield* hand.start(grant), "its user code may not start any more")
        const { freed, settled } = yield* hand.settle(report(grant))
        assert.deepEqual(settled, ["applied"])
        assert.deepEqual(freed, [gate.key])
        yield* assertState(run, state)
        assert.deepEqual(yield* cancelled(run), { answer: "ended", freed: [] })
        assert.deepEqual((yield* hand.claim(5)).grants, [])
      }))
  }

  it.effect("R10 cancel: what is cancelled after a failed attempt still says how that one failed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one, 60_000))
      yield* cancelled(run)
      assert.deepEqual((yield* found(run)).failure, failure)
    }))

  it.effect("R10 cancel: after a request, the loss of its holder is its end", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* cancelled(run)
      yield* hand.leave
      assert.strictEqual((yield* recoverAll).states.get(run), "Cancelled")
      assert.deepInclude(yield* found(run), { state: "Cancelled", crashes: 0 })
    }))

  it.effect("R10 cancel: a cancel that races a claim is confirmed or requested, never both", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(40).map(() => specOf(namespace)))
      const answers = new Map<RunId, string>()
      const cancelling = made.toReversed().map((run) =>
        Effect.map(cancelled(run), ({ answer }) => void answers.set(run, answer))
      )
      const got = new Set<RunId>()
      const claiming = times(10).map(() =>
        Effect.map(hand.claim(4), ({ grants }) => grants.forEach(({ run }) => got.add(run)))
      )
      yield* together([...cancelling.slice(0, 20), ...claiming, ...cancelling.slice(20)])
      for (const run of made) {
        const { state } = yield* found(run)
        assert.strictEqual(answers.get(run), got.has(run) ? "requested" : "confirmed")
        assert.strictEqual(state, got.has(run) ? "Running" : "Cancelled")
      }
    }))

  it.effect("R10 cancel: a cancel that races a report leaves one end", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(20).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(20)
      const reported = grants.map((grant) => Effect.asVoid(hand.settle(retry(grant, 60_000))))
      const asked = made.map((run) => Effect.asVoid(cancelled(run)))
      yield* together(made.flatMap((_, n) => [asked[n]!, reported[n]!]))
      for (const run of made) yield* assertState(run, "Cancelled")
    }))
}

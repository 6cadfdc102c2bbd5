/** R20: gates at which only the latest is kept. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Gate } from "../../domain/Blocking.ts"
import type { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  found,
  freshNamespace,
  gateOf,
  handOver,
  ids,
  joined,
  promoteAll,
  recoverAll,
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

const kinds: ReadonlyArray<Gate["whenFull"]> = ["latest", "replace"]

const assertReplaced = (run: RunId, by: RunId) =>
  Effect.gen(function* () {
    const { failure, finishedAt, state } = yield* found(run)
    assert.strictEqual(state, "Discarded")
    assert.deepEqual(failure, { tag: "Replaced", message: `replaced by run ${by}` })
    assert.isDefined(finishedAt)
  })

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  for (const whenFull of kinds) {
    it.effect(`R20 latest: of those that wait at a ${whenFull} gate the newest is kept`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const gate = gateOf(namespace, 1, whenFull)
        const first = yield* submitOne(specOf(namespace, { gate }))
        assert.deepEqual(yield* admitAll(gate.key), [{ run: first, state: "Ready" }])
        const grant = yield* hand.one
        // The level does not matter: the newest is the newest.
        const [older, old, newest] = yield* submitAll(
          [1, 0, 2].map((level) => specOf(namespace, { gate, level: level as 0 })),
        )
        assert.deepEqual(
          (yield* admitAll(gate.key)).toSorted((a, b) => a.run - b.run),
          [{ run: older!, state: "Discarded" }, { run: old!, state: "Discarded" }],
        )
        yield* assertReplaced(older!, newest!)
        yield* assertReplaced(old!, newest!)
        yield* assertState(newest!, "Blocked")
        yield* hand.settle(succeed(grant))
        assert.deepEqual(yield* admitAll(gate.key), [{ run: newest!, state: "Ready" }])
        assert.strictEqual((yield* hand.one).run, newest!)
      }))

    it.effect(`R20 latest: those that come at once leave one at a ${whenFull} gate`, () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        for (const _ of times(3)) {
          const gate = gateOf(namespace, 1, whenFull)
          const made = yield* submitAll(times(5).map(() => specOf(namespace, { gate })))
          const answers = (yield* together(times(5).map(() => runs.admit([gate.key])))).flat()
          assert.deepStrictEqual([...ids(answers)].sort(), [...made].sort(), "each is decided once")
          yield* assertState(made[4]!, "Ready")
          for (const run of made.slice(0, 4)) yield* assertReplaced(run, made[4]!)
        }
      }))

    it.effect(`R20 latest: a ${whenFull} gate is one at a time while those that come race`, () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1, whenFull)
        const hands = yield* together(times(3).map(() => joined(namespace)))
        const coming = Effect.gen(function* () {
          for (const _ of times(6)) {
            yield* submitOne(specOf(namespace, { gate }))
            yield* runs.admit([gate.key])
            const going = yield* runs.list({ namespace, states: ["Ready", "Running"], limit: 9 })
            assert.isAtMost(going.length, 1)
          }
        })
        const working = Effect.forEach(hands, (hand) =>
          Effect.gen(function* () {
            for (const _ of times(6)) {
              for (const grant of (yield* hand.claim(2)).grants) {
                const { isCancelling } = yield* found(grant.run)
                yield* hand.settle(isCancelling === true ? abort(grant) : succeed(grant))
                yield* runs.admit([gate.key])
              }
            }
          }), { concurrency: "unbounded" })
        yield* together([coming, coming, working])
        const left = yield* runs.list({ namespace, states: ["Blocked"], limit: 9 })
        assert.isAtMost(left.length, 1)
      }))

    it.effect(`R20 latest: openGates names a ${whenFull} gate with somebody to be replaced`, () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1, whenFull)
        yield* submitAll(times(3).map(() => specOf(namespace, { gate })))
        assert.include(yield* runs.openGates(100_000), gate.key)
        yield* admitAll(gate.key)
        yield* submitAll(times(2).map(() => specOf(namespace, { gate })))
        assert.include(yield* runs.openGates(100_000), gate.key)
      }))

    it.effect(`R20 latest: a ${whenFull} gate keeps its place for what is put down`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1, whenFull)
        const run = yield* submitOne(specOf(namespace, { gate }))
        yield* admitAll(gate.key)
        assert.deepEqual(yield* suspended(run), { answer: "confirmed", freed: [] })
        assert.deepEqual(yield* resumed(run), { answer: "confirmed", freed: [] })
        yield* assertState(run, "Ready")
      }))
  }

  it.effect("R20 latest: the holder is let be at a latest gate", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1, "latest")
      yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      const grant = yield* hand.one
      const next = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(yield* admitAll(gate.key), [])
      assert.isUndefined((yield* found(grant.run)).isCancelling)
      const why = yield* Storage.use(({ runs }) => runs.why(next))
      const value = { _tag: "GateFull", gate: gate.key, holders: [grant.run], ahead: 0 }
      assert.deepInclude(why, { value } as never)
    }))

  it.effect("R20 latest: at a replace gate the holder is asked to stop, and then it goes", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1, "replace")
      const first = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      const grant = yield* hand.one
      const next = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(yield* admitAll(gate.key), [], "the holder has not answered")
      assert.deepEqual(yield* admitAll(gate.key), [], "it is asked once")
      assert.isTrue((yield* found(first)).isCancelling)
      const asked = yield* runs.events(first)
      assert.deepStrictEqual(
        asked.filter(({ kind }) => kind === "Replaced").map(({ detail }) => detail),
        [`replaced by run ${next}`],
      )
      assert.strictEqual(asked.filter(({ kind }) => kind === "CancelAsked").length, 1)
      // Whatever it says but success, it has ended.
      const { freed } = yield* hand.settle(retry(grant, 0))
      assert.deepEqual(freed, [gate.key])
      yield* assertState(first, "Cancelled")
      assert.deepEqual(yield* admitAll(gate.key), [{ run: next, state: "Ready" }])
    }))

  it.effect("R20 latest: a holder that is lost is replaced too", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1, "replace")
      const first = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      yield* hand.one
      const next = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      yield* hand.leave
      const { freed } = yield* recoverAll
      assert.isTrue(freed.has(gate.key))
      yield* assertState(first, "Cancelled")
      assert.deepEqual(yield* admitAll(gate.key), [{ run: next, state: "Ready" }])
    }))

  it.effect("R20 latest: a holder that nobody has is replaced at once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1, "replace")
      const replaced: Array<RunId> = []
      const next = Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace, { gate }))
        assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
        return run
      })
      replaced.push(yield* next)
      replaced.push(yield* next)
      yield* hand.settle(retry(yield* hand.one, 60_000))
      replaced.push(yield* next)
      yield* hand.settle(handOver(yield* hand.one))
      replaced.push(yield* next)
      yield* suspended(replaced[3]!)
      const last = yield* next
      for (const run of replaced) yield* assertState(run, "Cancelled")
      assert.strictEqual((yield* hand.one).run, last)
    }))

  it.effect("R20 latest: what becomes due later is the later one", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1, "latest")
      const first = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      const delayed = yield* submitOne(specOf(namespace, { gate, delayMillis: 60_000 }))
      const waiting = yield* submitOne(specOf(namespace, { gate }))
      yield* elapse(Duration.seconds(61))
      assert.isTrue((yield* promoteAll).has(gate.key))
      assert.deepEqual(yield* admitAll(gate.key), [{ run: waiting, state: "Discarded" }])
      yield* assertReplaced(waiting, delayed)
      yield* cancelled(first)
      assert.deepEqual(yield* admitAll(gate.key), [{ run: delayed, state: "Ready" }])
    }))
}

/** R43: runs that are handed over, and whose hooks are still to come. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { type Conclusion, finishing, handedOver, hooksLeft } from "../../domain/Conclusion.ts"
import { Fence } from "../../domain/Lease.ts"
import { unnotified } from "../../domain/RunView.ts"
import { Storage } from "../../services/Storage.ts"
import { listening } from "../OutboxStorageContract.ts"
import { assertReplayed } from "../replayed.ts"
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
  giveUp,
  type Hand,
  handOver,
  type Held,
  joined,
  notified,
  recoverAll,
  release,
  specOf,
  submitOne,
  succeed,
  suspended,
  type Tests,
  timeOut,
  times,
  together,
} from "../world.ts"

const conclude = ({ incarnation }: Hand, { fence, run }: Held, conclusion: Conclusion) =>
  Storage.use(({ runs }) => runs.conclude(incarnation, [{ run, fence, conclusion }]))

const mark = (hand: Hand, held: Held) => conclude(hand, held, handedOver)

const result = '{"paid": "größe"}'
const good = { _tag: "Succeeded", result } as const
const bad = { _tag: "Failed", failure } as const
const ofGood = finishing({ state: "Succeeded", result })
const ofBad = finishing({ state: "Failed", failure })
const applied = { answer: "applied", freed: [] } as const

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** One that is held. */
  const held = Effect.fnUntraced(function* (differently = {}) {
    const namespace = freshNamespace()
    const hand = yield* joined(namespace, Duration.minutes(10))
    const spec = specOf(namespace, differently)
    const run = yield* submitOne(spec)
    if (spec.gate !== undefined) yield* admitAll(spec.gate.key)
    const grant = yield* hand.one
    yield* hand.start(grant)
    return { namespace, hand, spec, run, grant }
  })

  /** One that was handed over, its hooks left. */
  const parted = Effect.fnUntraced(function* (differently = {}, timeoutMillis?: number) {
    const all = yield* held(differently)
    assert.deepEqual(yield* mark(all.hand, all.grant), [true])
    assert.isUndefined((yield* found(all.run)).phase)
    yield* all.hand.settle(handOver(all.grant, timeoutMillis))
    return all
  })

  it.effect("R43 hooks left: a notice does not end it, but grants it once more", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const { grant, hand, namespace, run, spec } = yield* parted()
      const { all: told } = yield* listening(namespace)
      assert.deepEqual(yield* notified(run, good), applied)
      const waiting = yield* found(run)
      assert.deepInclude(waiting, { state: "Ready", attempt: 0, fence: grant.fence })
      assert.isUndefined(waiting.result)
      assert.strictEqual((yield* notified(run, bad)).answer, "duplicate")
      yield* assertReplayed(run, spec)
      const again = yield* hand.one
      assert.deepInclude(again, {
        run,
        attempt: 1,
        fence: Fence.make(grant.fence + 1),
        isCareful: true,
        conclusion: ofGood,
      })
      assert.isUndefined((yield* found(run)).phase)
      assert.strictEqual((yield* notified(run, bad)).answer, "duplicate")
      yield* assertState(run, "Running")
      assert.deepEqual((yield* hand.settle(handOver(grant))).settled, ["duplicate"])
      const cleaning = { ...ofGood, phase: "cleaning" } as const
      assert.deepEqual(yield* conclude(hand, again, cleaning), [true])
      assert.deepInclude(yield* found(run), { phase: "cleaning" })
      assert.deepEqual(yield* told, [])
      assert.deepEqual((yield* hand.settle(succeed(again, result))).settled, ["applied"])
      assert.deepInclude(yield* found(run), { state: "Succeeded", attempt: 1, result })
      assert.strictEqual((yield* notified(run, bad)).answer, "duplicate")
      assert.deepEqual((yield* told).map(({ run, state }) => [run, state]), [[run, "Succeeded"]])
      assert.deepEqual(yield* runs.counts(namespace), { Succeeded: 1 })
      assert.deepEqual((yield* runs.events(run)).map(({ detail, kind }) => [kind, detail]), [
        ["Submitted", undefined],
        ["Claimed", undefined],
        ["Started", undefined],
        ["Awaited", undefined],
        ["Notified", hooksLeft],
        ["Claimed", undefined],
        ["Succeeded", undefined],
      ])
      yield* assertReplayed(run, spec)
    }))

  it.effect("R43 hooks left: a notice of failure, its failure shown and in the grant", () =>
    Effect.gen(function* () {
      const { hand, run, spec } = yield* parted()
      assert.deepEqual(yield* notified(run, bad), applied)
      assert.deepInclude(yield* found(run), { state: "Ready", failure })
      const again = yield* hand.one
      assert.deepEqual(again.conclusion, ofBad)
      yield* hand.settle(giveUp(again))
      assert.deepInclude(yield* found(run), { state: "Failed", attempt: 1, failure })
      yield* assertReplayed(run, spec)
    }))

  it.effect("R43 hooks left: past its limit it is granted once more, and no notice counts", () =>
    Effect.gen(function* () {
      const gate = gateOf(freshNamespace(), 1)
      const { hand, run, spec } = yield* parted({ gate }, 60_000)
      yield* elapse(Duration.seconds(50))
      assert.isFalse((yield* expireAll).states.has(run))
      yield* assertState(run, "Awaiting")
      yield* elapse(Duration.seconds(20))
      const { freed, states } = yield* expireAll
      if (states.has(run)) assert.strictEqual(states.get(run), "Ready")
      assert.isFalse(freed.has(gate.key))
      assert.deepInclude(yield* found(run), { state: "Ready", failure: unnotified })
      assert.strictEqual((yield* notified(run)).answer, "ended")
      const again = yield* hand.one
      assert.deepEqual(again.conclusion, finishing(handedOver))
      assert.strictEqual((yield* notified(run)).answer, "ended")
      assert.deepEqual((yield* hand.settle(timeOut(again))).freed, [gate.key])
      yield* assertState(run, "TimedOut")
      yield* assertReplayed(run, spec)
    }))

  it.effect("R43 hooks left: cancelled, it is granted once more, to be cleaned", () =>
    Effect.gen(function* () {
      const { hand, run, spec } = yield* parted()
      assert.deepEqual(yield* cancelled(run), { answer: "requested", freed: [] })
      yield* assertState(run, "Ready")
      assert.strictEqual((yield* notified(run)).answer, "ended")
      const again = yield* hand.one
      assert.deepEqual(again.conclusion, finishing({ state: "Cancelled" }))
      yield* hand.settle(abort(again))
      yield* assertState(run, "Cancelled")
      assert.strictEqual((yield* notified(run)).answer, "ended")
      yield* assertReplayed(run, spec)
    }))

  it.effect("R43 hooks left: a cancel after that comes too late, unless the run is put down", () =>
    Effect.gen(function* () {
      const late = { answer: "requested", freed: [] } as const
      for (const isNotified of [true, false]) {
        const { hand, run, spec } = yield* parted()
        yield* isNotified ? Effect.asVoid(notified(run, good)) : Effect.asVoid(cancelled(run))
        assert.deepEqual(yield* cancelled(run), late)
        yield* assertState(run, "Ready")
        const again = yield* hand.one
        assert.deepEqual(yield* cancelled(run), late)
        assert.isUndefined((yield* found(run)).isCancelling)
        yield* hand.settle(release(again))
        assert.strictEqual((yield* suspended(run)).answer, "confirmed")
        assert.strictEqual((yield* cancelled(run)).answer, "confirmed")
        yield* assertState(run, "Cancelled")
        assert.strictEqual((yield* cancelled(run)).answer, "ended")
        yield* assertReplayed(run, spec)
      }
    }))

  it.effect("R43 hooks left: what is asked of it before its holder has said that it handed it over", () =>
    Effect.gen(function* () {
      for (const order of ["notify", "cancel"] as const) {
        const { grant, hand, run, spec } = yield* held()
        yield* mark(hand, grant)
        const { answer } = order === "notify" ? yield* notified(run, good) : yield* cancelled(run)
        assert.strictEqual(answer, order === "notify" ? "applied" : "requested")
        yield* assertState(run, "Ready")
        assert.deepEqual((yield* hand.settle(handOver(grant))).settled, ["fenced"])
        const again = yield* hand.one
        assert.deepEqual(
          again.conclusion,
          order === "notify" ? ofGood : finishing({ state: "Cancelled" }),
        )
        yield* hand.settle(order === "notify" ? succeed(again) : abort(again))
        yield* assertState(run, order === "notify" ? "Succeeded" : "Cancelled")
        yield* assertReplayed(run, spec)
      }
    }))

  it.effect("R43 hooks left: of many notices at once one counts, and it is granted once", () =>
    Effect.gen(function* () {
      for (const isEarly of [false, true]) {
        const { grant, hand, run } = yield* held()
        yield* mark(hand, grant)
        if (!isEarly) yield* hand.settle(handOver(grant))
        const answers = yield* together(
          times(6).map((n) => notified(run, { _tag: "Succeeded", result: `${n}` })),
        )
        const counted = answers.flatMap(({ answer }, n) => answer === "applied" ? [n] : [])
        assert.strictEqual(counted.length, 1)
        assert.strictEqual(answers.filter(({ answer }) => answer === "duplicate").length, 5)
        const { grants } = yield* hand.claim(5)
        assert.deepEqual(grants.map(({ conclusion }) => conclusion?.result), [`${counted[0]}`])
      }
    }))

  it.effect("R43 hooks left: no mark is missed by a notice at once, nor by a cancel", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const _ of times(20)) yield* submitOne(specOf(namespace))
      const { grants } = yield* hand.claim(20)
      const marked = yield* together(grants.flatMap((grant, nth) => [
        Effect.map(mark(hand, grant), ([isMarked]) => isMarked ? [grant.run] : []),
        nth % 2 === 0 ? Effect.as(notified(grant.run), []) : Effect.as(cancelled(grant.run), []),
      ]))
      for (const run of marked.flat()) yield* assertState(run, "Ready")
    }))

  it.effect("R43 hooks left: it keeps its place of a gate until they are done", () =>
    Effect.gen(function* () {
      const gate = gateOf(freshNamespace(), 1)
      const { hand, namespace, run } = yield* parted({ gate })
      const next = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(yield* notified(run, good), applied)
      assert.deepEqual(yield* admitAll(gate.key), [])
      const again = yield* hand.one
      assert.strictEqual(again.run, run)
      assert.deepEqual(yield* admitAll(gate.key), [])
      assert.deepEqual((yield* hand.settle(succeed(again))).freed, [gate.key])
      yield* admitAll(gate.key)
      yield* assertState(next, "Ready")
    }))

  it.effect("R43 hooks left: no mark is made of what is to stop, or has a conclusion", () =>
    Effect.gen(function* () {
      const first = yield* held()
      yield* cancelled(first.run)
      assert.deepEqual(yield* mark(first.hand, first.grant), [false])
      yield* first.hand.settle(handOver(first.grant))
      yield* assertState(first.run, "Cancelled")
      assert.deepEqual(yield* mark(first.hand, first.grant), [false])
      const other = yield* held()
      const cleaning = { ...ofGood, phase: "cleaning" } as const
      yield* conclude(other.hand, other.grant, cleaning)
      assert.deepEqual(yield* mark(other.hand, other.grant), [false])
      assert.deepInclude(yield* found(other.run), { phase: "cleaning" })
      assert.strictEqual((yield* notified(other.run, bad)).answer, "ended")
      yield* assertState(other.run, "Running")
    }))

  it.effect("R43 hooks left: a mark whose answer was lost holds, also when hooks were left since", () =>
    Effect.gen(function* () {
      for (const order of ["notify", "cancel", "expire"] as const) {
        const { grant, hand, namespace, run, spec } = yield* order === "expire"
          ? parted({}, 60_000)
          : held()
        if (order === "expire") {
          yield* elapse(Duration.seconds(70))
          yield* expireAll
        } else {
          assert.deepEqual(yield* mark(hand, grant), [true])
          yield* order === "notify" ? notified(run, good) : cancelled(run)
        }
        const other = yield* submitOne(specOf(namespace))
        assert.deepEqual(yield* mark(hand, grant), [true])
        yield* assertState(run, "Ready")
        const { grants } = yield* hand.claim(2)
        const again = grants.find((each) => each.run === run)!
        assert.strictEqual(again.conclusion?.phase, "finishing")
        assert.deepEqual(yield* mark(hand, grant), [true])
        assert.deepEqual(yield* mark(hand, again), [false])
        yield* hand.settle(order === "notify" ? succeed(again) : abort(again))
        assert.deepEqual(yield* mark(hand, grant), [true])
        assert.deepEqual(yield* mark(hand, again), [false])
        yield* assertReplayed(run, spec)
        const unmarked = grants.find((each) => each.run === other)!
        assert.deepEqual(
          yield* Storage.use(({ runs }) =>
            runs.conclude(
              hand.incarnation,
              [grant, unmarked, again].map(({ fence, run }) => ({
                run,
                fence,
                conclusion: handedOver,
              })),
            )
          ),
          [true, true, false],
        )
      }
    }))

  it.effect("R43 hooks left: a mark is no conclusion, and counts for its grant alone", () =>
    Effect.gen(function* () {
      const { grant, hand, namespace, run, spec } = yield* held()
      yield* mark(hand, grant)
      yield* hand.leave
      yield* recoverAll
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 1, crashes: 1 })
      const other = yield* joined(namespace)
      assert.isUndefined((yield* other.one).conclusion)
      assert.deepEqual(yield* notified(run, good), applied)
      assert.deepInclude(yield* found(run), { state: "Succeeded", result })
      yield* assertReplayed(run, spec)
    }))

  it.effect("R43 hooks left: after the loss of who carries them out they are for the next", () =>
    Effect.gen(function* () {
      for (const crashesMax of [3, 0]) {
        const { hand, namespace, run, spec } = yield* parted({ crashesMax })
        yield* cancelled(run)
        const again = yield* hand.one
        yield* hand.settle(release(again))
        yield* hand.start(yield* hand.one)
        yield* hand.leave
        yield* recoverAll
        if (crashesMax === 0) yield* assertState(run, "Cancelled")
        else {
          const other = yield* joined(namespace)
          const last = yield* other.one
          assert.deepEqual(last.conclusion, finishing({ state: "Cancelled" }))
          yield* other.settle(abort(last))
        }
        yield* assertReplayed(run, spec)
      }
    }))

  it.effect("R43 hooks left: it has begun, so it is never too late for them", () =>
    Effect.gen(function* () {
      for (const isEarly of [false, true]) {
        const { grant, hand, run } = yield* held({ deadlineMillis: 60_000 })
        yield* mark(hand, grant)
        if (!isEarly) yield* hand.settle(handOver(grant))
        yield* notified(run, good)
        yield* elapse(Duration.minutes(2))
        yield* expireAll
        assert.strictEqual((yield* hand.one).run, run)
        yield* expireAll
        yield* assertState(run, "Running")
      }
    }))
}

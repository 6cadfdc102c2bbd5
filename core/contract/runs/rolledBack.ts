/** R37: runs that somebody wants undone after they have ended. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { Fence } from "../../domain/Lease.ts"
import * as Rollback from "../../domain/Rollback.ts"
import { RunId } from "../../domain/RunId.ts"
import type { Failure } from "../../domain/RunView.ts"
import type { Report } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import { listening } from "../OutboxStorageContract.ts"
import { assertReplayed } from "../replayed.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  failure,
  found,
  freshNamespace,
  gateOf,
  giveUp,
  type Hand,
  type Held,
  ids,
  joined,
  notified,
  recoverAll,
  release,
  resumed,
  retry,
  revived,
  rolledBack,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  timeOut,
  times,
  together,
} from "../world.ts"

const demand = { by: "Ada", note: 'größe "7"' }
const asked = Rollback.asked(demand)
const done = Rollback.done(asked)
const result = '{"receipt": "né"}'

const failing = ({ fence, run }: Held, failure: Failure): Report => ({
  _tag: "GiveUp",
  run,
  fence,
  failure,
})
const undone = (held: Held) => failing(held, done)
const confirmed = { answer: "confirmed", freed: [] } as const

const conclude = ({ incarnation }: Hand, { fence, run }: Held, given: Rollback.Demand = demand) =>
  Storage.use(({ runs }) =>
    runs.conclude(incarnation, [{
      run,
      fence,
      conclusion: {
        state: "Failed",
        phase: "cleaning",
        result,
        failure: Rollback.failed(Rollback.asked(given), failure),
      },
    }])
  )

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** One that has succeeded. */
  const succeeded = Effect.fnUntraced(function* (differently = {}) {
    const namespace = freshNamespace()
    const hand = yield* joined(namespace, Duration.minutes(1))
    const spec = specOf(namespace, differently)
    const run = yield* submitOne(spec)
    const grant = yield* hand.one
    yield* hand.settle(succeed(grant, result))
    return { namespace, hand, spec, run, grant }
  })

  it.effect("R37 rolled back: what has succeeded is granted again, to be undone", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const { grant, hand, namespace, run, spec } = yield* succeeded()
      assert.deepEqual(yield* rolledBack(run, demand), confirmed)
      const view = yield* found(run)
      assert.deepInclude(view, { state: "Ready", attempt: 1, fence: grant.fence, failure: asked })
      assert.isUndefined(view.result)
      assert.isUndefined(view.finishedAt)
      const again = yield* hand.one
      assert.deepInclude(again, {
        run,
        attempt: 2,
        fence: Fence.make(grant.fence + 1),
        isCareful: true,
        conclusion: Rollback.conclusion(asked, result),
      })
      assert.deepInclude(yield* found(run), { state: "Running", phase: "rollingBack" })
      assert.deepEqual((yield* hand.settle(succeed(grant, result))).settled, ["duplicate"])
      assert.deepEqual((yield* hand.settle(undone(again))).settled, ["applied"])
      const ended = yield* found(run)
      assert.deepInclude(ended, { state: "Failed", failure: done })
      assert.isUndefined(ended.result)
      assert.deepEqual(yield* runs.counts(namespace), { Failed: 1 })
      const events = yield* runs.events(run)
      assert.deepEqual(events.map(({ by, detail, kind }) => [kind, detail, by]), [
        ["Submitted", undefined, undefined],
        ["Claimed", undefined, undefined],
        ["Succeeded", undefined, undefined],
        ["RollbackAsked", demand.note, "Ada"],
        ["Revived", asked.message, undefined],
        ["Claimed", undefined, undefined],
        ["Failed", asked.message, undefined],
      ])
      yield* assertReplayed(run, spec)
    }))

  it.effect("R37 rolled back: however it had ended, once it was granted", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const end of [giveUp, timeOut, abort]) {
        const spec = specOf(namespace)
        const run = yield* submitOne(spec)
        yield* hand.settle(end(yield* hand.one))
        assert.deepEqual(yield* rolledBack(run), confirmed)
        const again = yield* hand.one
        assert.deepEqual(again.conclusion, Rollback.conclusion(Rollback.asked({}), undefined))
        yield* hand.settle(undone(again))
        yield* assertReplayed(run, spec)
      }
    }))

  it.effect("R37 rolled back: one in quarantine too, its crashes forgotten", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace, { crashesMax: 0 }))
      const hand = yield* joined(namespace)
      yield* hand.start(yield* hand.one)
      yield* hand.leave
      yield* recoverAll
      yield* assertState(run, "Quarantined")
      yield* rolledBack(run, demand)
      assert.deepInclude(yield* found(run), { state: "Ready", crashes: 0 })
    }))

  it.effect("R37 rolled back: asked again it is one rollback, before it and after", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const { hand, run } = yield* succeeded()
      const answers = yield* together(times(3).map(() => rolledBack(run, demand)))
      assert.deepEqual(answers, times(3).map(() => confirmed))
      yield* suspended(run)
      assert.deepEqual(yield* rolledBack(run), confirmed)
      yield* resumed(run)
      const grant = yield* hand.one
      assert.deepEqual(yield* rolledBack(run), confirmed)
      yield* hand.settle(undone(grant))
      const ended = yield* found(run)
      assert.deepEqual(yield* rolledBack(run), confirmed)
      assert.deepStrictEqual(yield* found(run), ended)
      const kinds = (yield* runs.events(run)).map(({ kind }) => kind)
      assert.strictEqual(kinds.filter((kind) => kind === "RollbackAsked").length, 1)
    }))

  it.effect("R37 rolled back: what has failed is asked for again, with what it had succeeded with", () =>
    Effect.gen(function* () {
      const { hand, run, spec } = yield* succeeded()
      yield* rolledBack(run, demand)
      const first = yield* hand.one
      yield* conclude(hand, first)
      yield* hand.settle(failing(first, Rollback.failed(asked, failure)))
      assert.strictEqual((yield* found(run)).failure?.tag, "RollbackFailed")
      assert.deepEqual(yield* rolledBack(run, { by: "Bob" }), confirmed)
      const second = yield* hand.one
      assert.deepEqual(
        second.conclusion,
        Rollback.conclusion(Rollback.asked({ by: "Bob" }), result),
      )
      yield* cancelled(run)
      yield* hand.settle(abort(second))
      yield* assertState(run, "Cancelled")
      assert.deepEqual(yield* rolledBack(run, demand), confirmed)
      assert.strictEqual((yield* hand.one).conclusion?.result, result)
      yield* assertReplayed(run, spec)
    }))

  it.effect("R37 rolled back: it is done again after a loss, and past its crashes it has failed", () =>
    Effect.gen(function* () {
      const { hand, namespace, run } = yield* succeeded({ crashesMax: 1 })
      yield* rolledBack(run, demand)
      const lost = (from: Hand) =>
        Effect.gen(function* () {
          const grant = yield* from.one
          assert.deepEqual(grant.conclusion, Rollback.conclusion(asked, result))
          yield* from.start(grant)
          yield* elapse(Duration.minutes(2))
          yield* recoverAll
          return yield* joined(namespace, Duration.minutes(1))
        })
      const next = yield* lost(hand)
      const given = yield* next.one
      yield* next.settle(release(given))
      yield* lost(next)
      const ended = yield* found(run)
      assert.strictEqual(ended.state, "Failed")
      assert.deepEqual(ended.failure, Rollback.conclusion(asked, undefined).failure)
      assert.isUndefined(ended.result)
      assert.deepEqual(yield* rolledBack(run), confirmed)
    }))

  it.effect("R37 rolled back: a failure that says the same in its own words is none", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const words = JSON.stringify(done)
      for (const own of [{ tag: "RolledBack", message: words }, { tag: "a\\u0000", message: "" }]) {
        const run = yield* submitOne(specOf(namespace))
        yield* hand.settle(failing(yield* hand.one, own))
        assert.deepEqual(yield* rolledBack(run, demand), confirmed)
        yield* assertState(run, "Ready")
        yield* hand.one
      }
    }))

  it.effect("R37 rolled back: passes its gate again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [first, second] = yield* submitAll(times(2).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(ids(yield* admitAll(gate.key)), [second!])
      assert.deepEqual(yield* rolledBack(first!), { answer: "confirmed", freed: [gate.key] })
      yield* assertState(first!, "Blocked")
      assert.deepEqual(yield* admitAll(gate.key), [])
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(ids(yield* admitAll(gate.key)), [first!])
      assert.deepInclude(yield* hand.one, { run: first!, attempt: 2 })
    }))

  it.effect("R37 rolled back: nothing that goes on, was never granted, or is not known", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace)
      const [running, waiting, unbegun] = yield* submitAll([spec, spec, spec])
      yield* hand.one
      yield* cancelled(unbegun!)
      const before = yield* together([running!, waiting!, unbegun!].map(found))
      assert.deepEqual(yield* rolledBack(running!), { answer: "refused", freed: [] })
      assert.deepEqual(yield* rolledBack(waiting!), { answer: "refused", freed: [] })
      assert.deepEqual(yield* rolledBack(unbegun!), { answer: "unbegun", freed: [] })
      assert.deepStrictEqual(
        yield* together([running!, waiting!, unbegun!].map(found)),
        before,
      )
      assert.isTrue(Option.isNone(yield* runs.rollback(RunId.make(12_345))))
    }))

  it.effect("R37 rolled back: no success that somebody is yet to be told of", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { all } = yield* listening(namespace)
      const [good, bad] = yield* submitAll(times(2).map(() => specOf(namespace)))
      yield* hand.settle(succeed(yield* hand.one, result))
      yield* hand.settle(giveUp(yield* hand.one))
      assert.deepEqual(yield* rolledBack(good!), { answer: "untold", freed: [] })
      assert.deepInclude(yield* found(good!), { state: "Succeeded", result })
      // How it failed goes with what is told.
      assert.deepEqual(yield* rolledBack(bad!), confirmed)
      const told = yield* all
      assert.deepEqual(told.map(({ failure, state }) => [state, failure]), [
        ["Succeeded", undefined],
        ["Failed", failure],
      ])
      assert.deepEqual(yield* rolledBack(good!), confirmed)
      for (const _ of times(2)) yield* hand.settle(undone(yield* hand.one))
      assert.deepEqual((yield* all).map(({ failure, state }) => [state, failure]), [
        ["Failed", done],
        ["Failed", done],
      ])
    }))

  it.effect("R37 rolled back: no parent but its child, which reopens it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace)
      const family = yield* runs.submitFamily({ parent: spec, children: [spec, spec], places: 2 })
      if (family._tag === "Conflict") return assert.fail("it is new")
      const { children: [child], gate, run: parent } = family
      yield* admitAll(gate)
      assert.deepEqual(yield* rolledBack(parent), { answer: "parent", freed: [] })
      for (const _ of times(2)) yield* hand.settle(succeed(yield* hand.one))
      yield* admitAll(gate)
      yield* assertState(parent, "Succeeded")
      assert.deepEqual(yield* rolledBack(parent), { answer: "parent", freed: [] })
      assert.deepEqual(yield* rolledBack(child!, demand), { answer: "confirmed", freed: [gate] })
      yield* assertState(parent, "Awaiting")
      yield* admitAll(gate)
      yield* hand.settle(undone(yield* hand.one))
      yield* admitAll(gate)
      yield* assertState(parent, "Failed")
      yield* assertReplayed(parent, spec, { isParent: true })
      const told = (yield* runs.events(parent)).map(({ by, kind }) => [kind, by])
      assert.deepEqual(told, [
        ["Submitted", undefined],
        ["Succeeded", undefined],
        ["Reopened", "Ada"],
        ["Failed", undefined],
      ])
    }))

  it.effect("R37 rolled back: it may be revived after that, and begins anew", () =>
    Effect.gen(function* () {
      const { hand, run, spec } = yield* succeeded()
      yield* rolledBack(run, demand)
      yield* hand.settle(undone(yield* hand.one))
      assert.strictEqual((yield* revived(run)).answer, "confirmed")
      const again = yield* hand.one
      assert.isUndefined(again.conclusion)
      assert.strictEqual((yield* rolledBack(run)).answer, "refused")
      yield* hand.settle(retry(again))
      yield* Storage.use(({ runs }) => runs.promote(100))
      yield* hand.settle(succeed(yield* hand.one, '"anew"'))
      assert.deepInclude(yield* found(run), { state: "Succeeded", result: '"anew"' })
      assert.strictEqual((yield* notified(run)).answer, "ended")
      yield* assertReplayed(run, spec)
    }))
}

/** R22: runs of which it is known how they will end, before all of it is done. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { type Conclusion, shown } from "../../domain/Conclusion.ts"
import { Fence } from "../../domain/Lease.ts"
import { Storage } from "../../services/Storage.ts"
import {
  assertState,
  cancelled,
  type Elapse,
  expireAll,
  failure,
  found,
  freshNamespace,
  giveUp,
  type Hand,
  type Held,
  joined,
  recoverAll,
  release,
  resumed,
  retry,
  revived,
  specOf,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
  together,
} from "../world.ts"

const succeeded: Conclusion = { state: "Succeeded", phase: "cleaning", result: '"größe"' }
const undoing: Conclusion = { state: "Failed", phase: "rollingBack", failure }
const undone: Conclusion = {
  state: "TimedOut",
  phase: "cleaning",
  failure: { tag: "RollbackFailed", message: "é", stack: "at\n" },
}

const conclude = ({ incarnation }: Hand, { fence, run }: Held, conclusion: Conclusion) =>
  Storage.use(({ runs }) => runs.conclude(incarnation, [{ run, fence, conclusion }]))

const granted = (differently = {}) =>
  Effect.gen(function* () {
    const namespace = freshNamespace()
    const hand = yield* joined(namespace, Duration.minutes(1))
    const run = yield* submitOne(specOf(namespace, differently))
    return { namespace, run, hand, grant: yield* hand.one }
  })

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** Its holder is lost, and another is there. */
  const lostTo = (namespace: Parameters<typeof joined>[0]) =>
    Effect.gen(function* () {
      yield* elapse(Duration.minutes(2))
      yield* recoverAll
      return yield* joined(namespace)
    })

  for (const conclusion of [succeeded, undoing, undone]) {
    it.effect(`R22 concluded: ${conclusion.state} and ${conclusion.phase} is in later grants`, () =>
      Effect.gen(function* () {
        const { grant, hand, namespace, run } = yield* granted()
        assert.isUndefined(grant.conclusion)
        assert.isUndefined((yield* found(run)).phase)
        yield* hand.start(grant)
        assert.deepEqual(yield* conclude(hand, grant, conclusion), [true])
        assert.deepInclude(yield* found(run), { state: "Running", phase: shown(conclusion.phase)! })
        const next = yield* lostTo(namespace)
        const view = yield* found(run)
        assert.deepInclude(view, { state: "Ready", attempt: 0, crashes: 1 })
        assert.isUndefined(view.phase)
        const again = yield* next.one
        assert.deepEqual(again.conclusion, conclusion)
        assert.deepInclude(again, { attempt: 1, isCareful: true })
        const sameRound = yield* next.claim(1, { isAgain: true })
        assert.deepEqual(sameRound.grants[0]?.conclusion, conclusion)
        const { settled } = yield* next.settle(release(again))
        assert.deepEqual(settled, ["applied"])
        assert.deepEqual((yield* next.one).conclusion, conclusion)
      }))
  }

  it.effect("R22 concluded: one that had begun in time expires by no deadline", () =>
    Effect.gen(function* () {
      const { grant, hand, namespace, run } = yield* granted({
        deadlineMillis: 30_000,
        isAtMostOnce: false,
      })
      assert.deepEqual(yield* hand.start(grant), true)
      assert.deepEqual(yield* conclude(hand, grant, undoing), [true])
      const next = yield* lostTo(namespace)
      yield* expireAll
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 0 })
      assert.deepEqual((yield* next.one).conclusion, undoing)
    }))

  it.effect("R22 concluded: only by who holds it, and by the fence", () =>
    Effect.gen(function* () {
      const { grant, hand, namespace, run } = yield* granted()
      const other = yield* joined(namespace)
      const wrong = { run, fence: Fence.make(grant.fence + 1) }
      assert.deepEqual(yield* conclude(other, grant, succeeded), [false])
      assert.deepEqual(yield* conclude(hand, wrong, succeeded), [false])
      assert.isUndefined((yield* found(run)).phase)
      yield* hand.settle(retry(grant))
      assert.deepEqual(yield* conclude(hand, grant, succeeded), [false])
      yield* Storage.use(({ runs }) => runs.promote(100))
      assert.isUndefined((yield* other.one).conclusion)
    }))

  it.effect("R22 concluded: the last word counts, and a late copy of an earlier one does not", () =>
    Effect.gen(function* () {
      const { grant, hand, namespace } = yield* granted()
      const cleaning: Conclusion = { ...undone, state: "Failed" }
      yield* conclude(hand, grant, undoing)
      yield* together(times(3).map(() => conclude(hand, grant, cleaning)))
      assert.deepEqual(yield* conclude(hand, grant, undoing), [true])
      const next = yield* lostTo(namespace)
      assert.deepEqual((yield* next.one).conclusion, cleaning)
    }))

  it.effect("R22 concluded: several at once, one answer each", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const _ of times(3)) yield* submitOne(specOf(namespace))
      const { grants: [a, b, c] } = yield* hand.claim(3)
      yield* hand.settle(succeed(b!))
      assert.deepEqual(
        yield* runs.conclude(hand.incarnation, [
          { run: c!.run, fence: c!.fence, conclusion: undoing },
          { run: b!.run, fence: b!.fence, conclusion: succeeded },
          { run: a!.run, fence: a!.fence, conclusion: succeeded },
          { run: c!.run, fence: c!.fence, conclusion: undone },
        ]),
        [true, false, true, true],
      )
      assert.deepEqual(yield* runs.conclude(hand.incarnation, []), [])
      assert.strictEqual((yield* found(c!.run)).phase, "cleaning")
    }))

  for (const isAtMostOnce of [false, true]) {
    it.effect(
      `R22 concluded: after too many crashes it ends as concluded, at most once ${isAtMostOnce}`,
      () =>
        Effect.gen(function* () {
          const { grant, hand, namespace, run } = yield* granted({ crashesMax: 1, isAtMostOnce })
          yield* hand.start(grant)
          yield* conclude(hand, grant, succeeded)
          const next = yield* lostTo(namespace)
          yield* assertState(run, "Ready")
          yield* next.start(yield* next.one)
          yield* next.leave
          yield* recoverAll
          const view = yield* found(run)
          assert.deepInclude(view, { state: "Succeeded", result: '"größe"', crashes: 2 })
          assert.isUndefined(view.failure)
          assert.isDefined(view.finishedAt)
        }),
    )
  }

  it.effect("R22 concluded: one that was asked to stop ends as concluded with its holder", () =>
    Effect.gen(function* () {
      for (const [conclusion, state] of [[succeeded, "Succeeded"], [undone, "TimedOut"]] as const) {
        const { grant, hand, namespace, run } = yield* granted()
        yield* conclude(hand, grant, conclusion)
        assert.strictEqual((yield* cancelled(run)).answer, "requested")
        yield* lostTo(namespace)
        assert.deepInclude(yield* found(run), {
          state,
          ...(conclusion.failure !== undefined && { failure: conclusion.failure }),
        })
      }
    }))

  it.effect("R22 concluded: one that was to be put down is, and goes on from there", () =>
    Effect.gen(function* () {
      const { grant, hand, namespace, run } = yield* granted()
      yield* conclude(hand, grant, undoing)
      assert.strictEqual((yield* suspended(run)).answer, "requested")
      const next = yield* lostTo(namespace)
      yield* assertState(run, "Suspended")
      yield* resumed(run)
      assert.deepEqual((yield* next.one).conclusion, undoing)
    }))

  it.effect("R22 concluded: a revived run begins anew", () =>
    Effect.gen(function* () {
      const { grant, hand, run } = yield* granted()
      yield* conclude(hand, grant, { ...undone, state: "Failed" })
      yield* hand.settle(giveUp(grant))
      const view = yield* found(run)
      assert.strictEqual(view.state, "Failed")
      assert.isUndefined(view.phase)
      assert.strictEqual((yield* revived(run)).answer, "confirmed")
      const again = yield* hand.one
      assert.isUndefined(again.conclusion)
      yield* conclude(hand, again, succeeded)
      // There is nothing to revive, so nothing is forgotten.
      assert.strictEqual((yield* revived(run)).answer, "confirmed")
      assert.strictEqual((yield* found(run)).phase, "cleaning")
    }))

  it.effect("R22 concluded: it leaves with its run", () =>
    Effect.gen(function* () {
      const { history, runs } = yield* Storage
      const { grant, hand, run } = yield* granted()
      yield* conclude(hand, grant, succeeded)
      yield* hand.settle(succeed(grant))
      yield* elapse(Duration.days(31))
      for (const _ of times(2)) {
        for (let hasMore = true; hasMore;) ({ hasMore } = yield* history.retire(500))
      }
      assert.isTrue(Option.isNone(yield* runs.find(run)))
    }))
}

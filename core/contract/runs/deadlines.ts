/** R16: runs that must have begun by a deadline. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import { tooLate } from "../../domain/RunView.ts"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  expireAll,
  failure,
  found,
  fresh,
  freshNamespace,
  gateOf,
  handOver,
  ids,
  joined,
  promoteAll,
  putDown,
  release,
  resumed,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
} from "../world.ts"

const deadlineMillis = 60_000

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R16 deadline: one in time is granted, with its start to be marked", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { deadlineMillis }))
      yield* elapse(Duration.seconds(50))
      assert.isFalse((yield* expireAll).states.has(run))
      const grant = yield* hand.one
      assert.deepInclude(grant, { run, isCareful: true })
      assert.isTrue(yield* hand.start(grant))
      yield* elapse(Duration.seconds(20))
      yield* expireAll
      assert.deepEqual((yield* hand.settle(succeed(grant))).settled, ["applied"])
    }))

  it.effect("R16 deadline: wherever it waits it has expired, and frees what it held", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const [ready, holding, blocked, later, put, keyed] = yield* submitAll([
        specOf(namespace, { deadlineMillis }),
        specOf(namespace, { deadlineMillis, gate }),
        specOf(namespace, { deadlineMillis, gate }),
        specOf(namespace, { deadlineMillis, delayMillis: 90_000 }),
        specOf(namespace, { deadlineMillis }),
        specOf(namespace, { deadlineMillis, idempotencyKey: fresh("key") }),
      ])
      const waiting = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      yield* suspended(put!)
      yield* elapse(Duration.seconds(70))
      const { freed, states } = yield* expireAll
      for (const run of [ready, holding, blocked, later, put, keyed]) {
        if (states.has(run!)) assert.strictEqual(states.get(run!), "Expired")
        assert.deepInclude(yield* found(run!), {
          state: "Expired",
          attempt: 0,
          fence: Fence.make(0),
          failure: tooLate,
        })
        assert.isDefined((yield* found(run!)).finishedAt)
      }
      if (states.has(holding!)) assert.isTrue(freed.has(gate.key))
      const [admission] = yield* admitAll(gate.key)
      assert.strictEqual(admission!.run, waiting)
      const again = (yield* expireAll).states
      assert.isFalse(again.has(ready!), "once")
    }))

  it.effect("R16 deadline: a claim that comes across it grants it not", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const late = yield* submitOne(specOf(namespace, { deadlineMillis, gate }))
      yield* admitAll(gate.key)
      yield* elapse(Duration.seconds(70))
      const usual = yield* submitOne(specOf(namespace))
      const { freed, grants } = yield* hand.claim(5)
      assert.deepEqual(grants.map(({ run }) => run), [usual])
      // Whoever else sweeps this database may have been first.
      if (freed.length > 0) assert.deepEqual(freed, [gate.key])
      assert.deepInclude(yield* found(late), { state: "Expired", attempt: 0 })
      assert.deepEqual((yield* hand.claim(5, { isAgain: true })).grants.map(({ run }) => run), [
        usual,
      ])
    }))

  it.effect("R16 deadline: granted in time and not begun by then, it may not begin", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [run, stopping] = yield* submitAll([
        specOf(namespace, { deadlineMillis }),
        specOf(namespace, { deadlineMillis }),
      ])
      const { grants } = yield* hand.claim(2)
      yield* cancelled(stopping!)
      yield* elapse(Duration.seconds(70))
      yield* expireAll
      yield* assertState(run!, "Expired")
      yield* assertState(stopping!, "Cancelled")
      for (const grant of grants) assert.isFalse(yield* hand.start(grant))
    }))

  it.effect("R16 deadline: nor while nobody has let it expire yet, unless it was begun in time", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(3).map(() => specOf(namespace, { deadlineMillis })))
      const grants = [yield* hand.one, yield* hand.one, yield* hand.one] as const
      const [late, begun, again] = grants
      assert.isTrue(yield* hand.start(begun))
      assert.isTrue(yield* hand.start(again))
      yield* hand.settle(retry(again))
      yield* elapse(Duration.seconds(70))
      assert.isFalse(yield* hand.start(late))
      assert.isTrue(yield* hand.start(begun), "once more")
      yield* promoteAll
      assert.isTrue(yield* hand.start(yield* hand.one), "as it goes on")
    }))

  it.effect("R16 deadline: a round that is handed out again leaves out what is too late", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { deadlineMillis: 60_000 }))
      yield* hand.one
      yield* elapse(Duration.minutes(2))
      assert.deepEqual((yield* hand.claim(1, { isAgain: true })).grants, [])
      yield* assertState(run, "Expired")
    }))

  it.effect("R16 deadline: what has begun is let be, however it goes on", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const ways = [retry, putDown, handOver]
      const made = yield* submitAll(ways.map(() => specOf(namespace, { deadlineMillis })))
      const { grants } = yield* hand.claim(3)
      for (const grant of grants) assert.isTrue(yield* hand.start(grant))
      yield* hand.settle(...grants.map((grant, at) => ways[at]!(grant)))
      yield* elapse(Duration.seconds(70))
      yield* promoteAll
      const { states } = yield* expireAll
      for (const run of made) assert.isFalse(states.has(run))
      yield* assertState(made[2]!, "Awaiting")
      yield* resumed(made[1]!)
      const { grants: again } = yield* hand.claim(2)
      assert.strictEqual(again.length, 2)
    }))

  it.effect("R16 deadline: what has begun is let be when it is given back, in no hurry", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const calm = yield* submitOne(specOf(namespace))
      const begun = yield* submitAll(
        times(4).map(() => specOf(namespace, { deadlineMillis: 20_000 })),
      )
      const { grants } = yield* hand.claim(4)
      for (const grant of grants) assert.isTrue(yield* hand.start(grant))
      const [bare, kept, put, unknown] = grants
      yield* suspended(put!.run)
      const back = [release(bare!), { ...release(kept!), checkpoint: "1" } as const, release(put!)]
      assert.deepEqual((yield* hand.settle(...back)).settled, ["applied", "applied", "applied"])
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* resumed(put!.run)
      assert.deepInclude(yield* found(unknown!.run), { state: "Ready", attempt: 0 })
      const { grants: [next] } = yield* hand.claim(1)
      assert.strictEqual(next!.run, calm, "none goes first for having to begin soon")
      yield* elapse(Duration.seconds(70))
      const { states } = yield* expireAll
      for (const run of begun) {
        assert.isFalse(states.has(run))
        yield* assertState(run, "Ready")
      }
      const { grants: again } = yield* hand.claim(4)
      assert.deepEqual(sorted(ids(again)), begun)
      for (const grant of again) {
        assert.deepInclude(grant, { attempt: 1, isCareful: true })
        assert.isTrue(yield* hand.start(grant))
      }
    }))

  it.effect("R16 deadline: what a notice has ended is let be when it is revived", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { deadlineMillis }))
      const first = yield* hand.one
      yield* runs.notify(run, { _tag: "Failed", failure })
      assert.isFalse(yield* hand.start(first))
      yield* elapse(Duration.seconds(70))
      yield* runs.revive(run)
      yield* expireAll
      const grant = yield* hand.one
      assert.strictEqual(grant.run, run)
      assert.isTrue(yield* hand.start(grant))
    }))

  it.effect("R16 deadline: what was not begun keeps it, whoever gives it back", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(3).map(() => specOf(namespace, { deadlineMillis })))
      const { grants: [bare, put, unknown] } = yield* hand.claim(3)
      yield* suspended(put!.run)
      yield* hand.settle(release(bare!), release(put!))
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* assertState(unknown!.run, "Ready")
      yield* elapse(Duration.seconds(70))
      yield* expireAll
      for (const run of made) {
        assert.deepInclude(yield* found(run), { state: "Expired", attempt: 0 })
      }
    }))

  it.effect("R16 deadline: what was given back before it began is not past forgetting", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { deadlineMillis }))
      yield* hand.settle(release(yield* hand.one))
      yield* elapse(Duration.seconds(70))
      assert.deepEqual((yield* hand.claim(1)).grants.map((grant) => grant.run), [])
      yield* expireAll
      assert.deepInclude(yield* found(run), { state: "Expired", attempt: 0 })
    }))

  it.effect("R16 deadline: expire keeps to its limit", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const made = yield* submitAll(
        Array.from({ length: 7 }, () => specOf(namespace, { deadlineMillis })),
      )
      yield* elapse(Duration.seconds(70))
      for (;;) {
        const { runs: some } = yield* runs.expire(3)
        assert.isAtMost(some.length, 3)
        if (some.length === 0) break
      }
      for (const run of made) yield* assertState(run, "Expired")
      assert.deepEqual(yield* runs.counts(namespace), { Expired: 7 })
      const listed = yield* runs.list({ namespace, states: ["Expired"], limit: 9 })
      assert.strictEqual(listed.length, 7)
    }))
}

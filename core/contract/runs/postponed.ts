/** R30: what its holder has postponed is due again later, and has lost nothing. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Execution from "../../domain/Execution.ts"
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
  postpone,
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
} from "../world.ts"
import { assertReplayed } from "../replayed.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R30 postponed: it waits its time, and has lost no attempt", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one))
      yield* promoteAll
      const held = yield* hand.one
      const { settled } = yield* hand.settle(postpone(held, 20_000))
      assert.deepEqual(settled, ["applied"])
      assert.deepEqual((yield* hand.settle(postpone(held, 20_000))).settled, ["duplicate"])
      assert.deepInclude(yield* found(run), {
        state: "Scheduled",
        attempt: 1,
        crashes: 0,
        fence: Fence.make(2),
      })
      yield* elapse(Duration.seconds(15))
      yield* promoteAll
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      yield* elapse(Duration.seconds(6))
      yield* promoteAll
      const next = yield* hand.one
      assert.deepInclude(next, { run, attempt: 2, crashes: 0, fence: Fence.make(3) })
      yield* hand.settle(succeed(next))
      assert.deepInclude(yield* found(run), { state: "Succeeded", attempt: 2 })
    }))

  it.effect("R30 postponed: it keeps its place of a gate, also of several", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const places of [1, 2]) {
        const gate = gateOf(namespace, places)
        const runs = yield* submitAll(
          Array.from({ length: places + 1 }, () => specOf(namespace, { gate })),
        )
        yield* admitAll(gate.key)
        const { grants } = yield* hand.claim(9)
        assert.strictEqual(grants.length, places)
        const { freed } = yield* hand.settle(...grants.map((held) => postpone(held, 5000)))
        assert.deepEqual(freed, [])
        assert.deepEqual(yield* admitAll(gate.key), [])
        yield* elapse(Duration.seconds(6))
        yield* promoteAll
        const again = yield* hand.claim(9)
        assert.deepEqual(ids(again.grants), runs.slice(0, places))
        yield* hand.settle(...again.grants.map((held) => succeed(held)))
        assert.deepEqual(ids(yield* admitAll(gate.key)), runs.slice(places))
        yield* hand.settle(succeed(yield* hand.one))
      }
    }))

  it.effect("R30 postponed: a deadline goes on, and orders are heard", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const late = yield* submitOne(specOf(namespace, { deadlineMillis: 10_000 }))
      yield* hand.settle(postpone(yield* hand.one, 60_000))
      yield* elapse(Duration.seconds(11))
      yield* expireAll
      yield* assertState(late, "Expired")
      const stopped = yield* submitOne(specOf(namespace))
      const held = yield* hand.one
      yield* cancelled(stopped)
      yield* hand.settle(postpone(held, 60_000))
      yield* assertState(stopped, "Cancelled")
      const put = yield* submitOne(specOf(namespace))
      const putHeld = yield* hand.one
      yield* suspended(put)
      yield* hand.settle(postpone(putHeld, 60_000))
      assert.deepInclude(yield* found(put), { state: "Suspended", attempt: 0 })
      yield* resumed(put)
      assert.deepInclude(yield* hand.one, { run: put, attempt: 1 })
    }))

  it.effect("R30 postponed: of all such grants the last is told, and a loss after it is no crash", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace)
      const run = yield* submitOne(spec)
      yield* hand.settle(retry(yield* hand.one))
      for (let times = 0; times < 3; times++) {
        yield* elapse(Duration.seconds(1))
        yield* promoteAll
        yield* hand.settle(postpone(yield* hand.one, 1))
      }
      yield* elapse(Duration.seconds(1))
      yield* promoteAll
      const ends = () =>
        Effect.gen(function* () {
          const executions = Execution.of(yield* found(run), yield* runs.events(run))
          return executions.map(({ end, fence }) => [end, fence as number])
        })
      assert.deepEqual(yield* ends(), [["Retried", 1], ["Postponed", 4]])
      yield* assertReplayed(run, spec)
      yield* hand.one
      yield* hand.leave
      yield* recoverAll
      assert.deepEqual(yield* ends(), [["Retried", 1], ["Postponed", 4], ["Lost", 5]])
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 1, crashes: 0 })
      yield* assertReplayed(run, spec)
    }))

  it.effect("R30 postponed: what came between those that are forgotten leads to its state all the same", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace)
      const run = yield* submitOne(spec)
      const postponed = Effect.gen(function* () {
        yield* elapse(Duration.seconds(1))
        yield* promoteAll
        yield* hand.settle(postpone(yield* hand.one, 1))
      })
      yield* postponed
      yield* suspended(run)
      yield* resumed(run)
      yield* postponed
      yield* elapse(Duration.seconds(1))
      yield* promoteAll
      yield* hand.settle(retry(yield* hand.one))
      yield* postponed
      yield* elapse(Duration.seconds(1))
      yield* promoteAll
      yield* assertReplayed(run, spec)
    }))
}

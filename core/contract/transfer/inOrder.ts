/** That what waits does so where it did, for what it did, and as long as it had. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as FanIn from "../../domain/FanIn.ts"
import type { RunId } from "../../domain/RunId.ts"
import { TaskName } from "../../domain/Task.ts"
import { taskIn } from "../orders.ts"
import {
  admitAll,
  assertState,
  cancelled,
  expireAll,
  found,
  freshNamespace,
  gateOf,
  joined,
  notified,
  promoteAll,
  recoverAll,
  resumed,
  specOf,
  submitOne,
  succeed,
} from "../world.ts"
import { exported, imported, into, type Passage } from "./Passage.ts"
import { settled } from "./held.ts"

export const inOrder = <R, R2>({ after, both, from, level, test, to }: Passage<R, R2>): void => {
  after("X9 in order: those at a gate, and in a lane", (world) =>
    Effect.gen(function* () {
      const { atHead, hand, inLane, lane, queue, waiting } = world
      const claimed: Array<RunId> = []
      assert.strictEqual((yield* found(atHead.run)).phase, "cleaning")
      const next = yield* joined(world.namespace)
      const { grants } = yield* next.claim(10, { lanes: [lane] })
      assert.deepEqual(
        grants.map(({ run }) => run),
        [
          inLane[2],
          inLane[4],
          inLane[1],
          inLane[3],
          inLane[0],
        ],
      )
      yield* settled(hand.incarnation, succeed(atHead))
      for (const _ of waiting) {
        yield* admitAll(queue.key)
        const { grants } = yield* next.claim(10, { lanes: [lane] })
        assert.strictEqual(grants.length, 1, "one place")
        claimed.push(grants[0]!.run)
        yield* next.settle(succeed(grants[0]!))
      }
      assert.deepEqual(claimed, [waiting[1], waiting[2], waiting[0], waiting[3]])
    }))

  test("X9 in order: who waits at a gate has waited as long as it had", () =>
    Effect.gen(function* () {
      const { source, target } = yield* both
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const low = yield* into(source)(Effect.gen(function* () {
        yield* recoverAll
        const low = yield* submitOne(specOf(namespace, { gate, level: 2 }))
        yield* from.elapse(Duration.minutes(6))
        return low
      }))
      const records = yield* into(source)(exported)
      yield* level(source, target)
      yield* into(target)(Effect.gen(function* () {
        yield* imported(records)
        yield* to.elapse(Duration.minutes(6))
        yield* recoverAll
        const urgent = yield* submitOne(specOf(namespace, { gate, level: 0 }))
        assert.deepEqual(yield* admitAll(gate.key), [{ run: low, state: "Ready" }])
        yield* cancelled(low)
        assert.deepEqual(yield* admitAll(gate.key), [{ run: urgent, state: "Ready" }])
      }))
    }))

  test("X9 in order: who waits at a gate by a deadline does so, whatever order is named since", () =>
    Effect.gen(function* () {
      const { source, target } = yield* both
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const submit = (task: TaskName, deadlineMillis?: number) =>
        submitOne(specOf(namespace, { gate, task, deadlineMillis }))
      const wanted = yield* into(source)(Effect.gen(function* () {
        yield* recoverAll
        const task = yield* taskIn(namespace, "deadline")
        const far = yield* submit(task, 80_000)
        const near = yield* submit(task, 40_000)
        const none = yield* submit(task)
        yield* taskIn(namespace, "age")
        return [near, none, yield* submit(task, 20_000), far]
      }))
      const records = yield* into(source)(exported)
      yield* level(source, target)
      yield* into(target)(Effect.gen(function* () {
        yield* imported(records)
        for (const run of wanted) {
          assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
          yield* cancelled(run)
        }
      }))
    }))

  after(
    "X9 in order: what was put down keeps its place, and goes on where it was",
    (world) =>
      Effect.gen(function* () {
        const { behind, keeping, putAside } = world
        yield* admitAll(keeping.key)
        yield* assertState(behind, "Blocked")
        const { lane } = yield* found(putAside.run)
        yield* resumed(putAside.run)
        const hand = yield* joined(world.namespace)
        const { grants: [grant] } = yield* hand.claim(1, { lanes: [lane] })
        assert.deepInclude(grant!, { run: putAside.run, checkpoint: '{"at":7}', attempt: 1 })
        yield* hand.settle(succeed(grant!))
        yield* admitAll(keeping.key)
        yield* assertState(behind, "Ready")
      }),
  )

  after(
    "X9 in order: a notice ends what was handed over, once",
    ({ handed, limited }) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* notified(handed.run)).answer, "applied")
        assert.strictEqual((yield* notified(handed.run)).answer, "duplicate")
        yield* to.elapse(Duration.hours(2))
        yield* expireAll
        yield* assertState(limited.run, "TimedOut")
      }),
  )

  after(
    "X9 in order: a parent ends with its last child",
    ({ family, hand, namespace }) =>
      Effect.gen(function* () {
        yield* settled(hand.incarnation, succeed(family.last))
        yield* admitAll(family.gate)
        yield* assertState(family.run, "Awaiting")
        const next = yield* joined(namespace)
        const { grants: [last] } = yield* next.claim(9, { lanes: [family.lane] })
        assert.deepEqual(last!.shard, { parent: family.run, index: 2, count: 3 })
        yield* next.settle(succeed(last!))
        yield* admitAll(FanIn.gate(family.run, 1).key)
        yield* assertState(family.run, "Succeeded")
      }),
  )

  after(
    "X9 in order: what is due later is due when it was",
    ({ failing, later }) =>
      Effect.gen(function* () {
        yield* promoteAll
        yield* assertState(later, "Scheduled")
        yield* assertState(failing.run, "Scheduled")
        yield* to.elapse(Duration.hours(2))
        yield* promoteAll
        yield* assertState(later, "Ready")
        yield* assertState(failing.run, "Ready")
      }),
  )
}

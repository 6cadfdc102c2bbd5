/** R42: how many wait, by which submits are held back. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import { TaskName } from "../../domain/Task.ts"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  cancelled,
  type Elapse,
  freshNamespace,
  gateOf,
  greet,
  joined,
  promoteAll,
  resumed,
  retry,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
} from "../world.ts"

const minute = 60_000

const backlog = (namespace: Namespace, atMost = 100, task = greet) =>
  Storage.use(({ runs }) => runs.backlog([Lane.ofTask(namespace, task)], atMost))

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R42 backlog: of what is ready and what waits at any gate, each once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      const gates = times(4).map(() => gateOf(namespace, 1))
      assert.strictEqual(yield* backlog(namespace), 0)
      yield* submitAll([
        specOf(namespace),
        ...gates.flatMap((gate) => times(3).map(() => specOf(namespace, { gate }))),
      ])
      assert.strictEqual(yield* backlog(namespace), 13)
      for (const { key } of gates) yield* admitAll(key)
      assert.strictEqual(yield* backlog(namespace), 13, "one of each gate is ready")
      // Others, who wait at the same gates or elsewhere.
      const task = TaskName.make("bake")
      const lane = Lane.ofTask(namespace, task)
      yield* submitAll([
        ...gates.map((gate) => specOf(namespace, { task, lane, gate })),
        specOf(other, { gate: gateOf(other, 1) }),
      ])
      assert.strictEqual(yield* backlog(namespace), 13)
      assert.strictEqual(yield* backlog(namespace, 100, task), 4)
      const both = [lane, Lane.ofTask(namespace, greet)]
      assert.strictEqual(yield* runs.backlog(both, 100), 17)
      assert.strictEqual(yield* runs.depth(both, 100), 5)
      assert.strictEqual(yield* runs.backlog([], 100), 0)
    }))

  it.effect("R42 backlog: no more need be counted than are asked for", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      yield* submitAll(times(5).map(() => specOf(namespace, { gate })))
      yield* submitAll(times(2).map(() => specOf(namespace)))
      for (const atMost of times(7)) {
        assert.isAtLeast(yield* backlog(namespace, atMost + 1), atMost + 1)
      }
      assert.strictEqual(yield* backlog(namespace, 8), 7)
    }))

  it.effect("R42 backlog: of what waits now, however it came there, and no longer", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const made = yield* submitAll([
        ...times(4).map(() => specOf(namespace, { gate })),
        specOf(namespace, { gate, delayMillis: minute }),
      ])
      assert.strictEqual(yield* backlog(namespace), 4, "one is due later")
      yield* admitAll(gate.key)
      const grant = yield* hand.one
      assert.strictEqual(yield* backlog(namespace), 3, "one is held")
      yield* cancelled(made[1]!)
      yield* suspended(made[2]!)
      assert.strictEqual(yield* backlog(namespace), 1)
      yield* resumed(made[2]!)
      assert.strictEqual(yield* backlog(namespace), 2, "one came back")
      yield* elapse(Duration.millis(2 * minute))
      yield* promoteAll
      assert.strictEqual(yield* backlog(namespace), 3, "one was due since")
      yield* hand.settle(retry(grant, minute))
      assert.strictEqual(yield* backlog(namespace), 3)
      yield* elapse(Duration.millis(2 * minute))
      yield* promoteAll
      assert.strictEqual(yield* backlog(namespace), 4, "one tries again, and has kept its place")
      yield* hand.settle(succeed(yield* hand.one))
      assert.strictEqual(yield* backlog(namespace), 3)
    }))

  it.effect("R42 backlog: of the parts of a whole, which wait for their turn", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const spec = { ...specOf(namespace), gate: undefined }
      const family = yield* runs.submitFamily({
        parent: spec,
        children: [spec, spec, spec],
        places: 1,
      })
      assert.strictEqual(family._tag, "Submitted")
      assert.strictEqual(yield* backlog(namespace), 3)
      const run = yield* submitOne(spec)
      assert.strictEqual(yield* backlog(namespace), 4)
      yield* cancelled(run)
      assert.strictEqual(yield* backlog(namespace), 3)
    }))
}

/** R2: a key names one run. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { TaskName } from "../../domain/Task.ts"
import { Storage } from "../../services/Storage.ts"
import {
  fresh,
  freshNamespace,
  joined,
  specOf,
  submitOne,
  succeed,
  type Tests,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R2 idempotent submit: a key names one run, in every state of it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace, { idempotencyKey: fresh("key") })
      const again = Effect.map(runs.submit([spec]), ([answer]) => answer!)
      const first = yield* again
      assert.deepInclude(first, { _tag: "Submitted", isNew: true, state: "Ready" })
      const run = first.run
      assert.deepEqual(yield* again, { _tag: "Submitted", run, isNew: false, state: "Ready" })
      const grant = yield* hand.one
      assert.deepEqual(yield* again, { _tag: "Submitted", run, isNew: false, state: "Running" })
      yield* hand.settle(succeed(grant))
      assert.deepEqual(yield* again, { _tag: "Submitted", run, isNew: false, state: "Succeeded" })
      assert.strictEqual((yield* runs.list({ namespace, limit: 10 })).length, 1)
    }))

  it.effect("R2 idempotent submit: another task or payload is a conflict", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const spec = specOf(namespace, { idempotencyKey: fresh("key") })
      const run = yield* submitOne(spec)
      const conflict = { _tag: "Conflict" as const, run }
      assert.deepEqual(
        yield* runs.submit([
          { ...spec, payload: '{"name":"Bob"}' },
          { ...spec, task: TaskName.make("other") },
          { ...spec, level: 0, delayMillis: 1000 },
        ]),
        [conflict, conflict, { _tag: "Submitted", run, isNew: false, state: "Ready" }],
      )
    }))

  it.effect("R2 idempotent submit: a key twice in one call is one run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const keyed = specOf(namespace, { idempotencyKey: fresh("key") })
      const answers = yield* runs.submit([
        keyed,
        specOf(namespace),
        keyed,
        { ...keyed, payload: "0" },
        specOf(namespace),
      ])
      const run = answers[0]!.run
      assert.deepEqual(answers.map(({ _tag }) => _tag), [
        "Submitted",
        "Submitted",
        "Submitted",
        "Conflict",
        "Submitted",
      ])
      assert.strictEqual(answers[2]!.run, run)
      assert.strictEqual(answers[3]!.run, run)
      assert.strictEqual(new Set(answers.map(({ run }) => run)).size, 3)
      const all = yield* runs.list({ namespace, limit: 10 })
      assert.strictEqual(all.length, 3)
    }))

  it.effect("R2 idempotent submit: many at once make one run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      for (const _ of times(5)) {
        const spec = specOf(namespace, { idempotencyKey: fresh("key") })
        const answers = (yield* together(
          times(8).map((n) =>
            // Beside others, so that what is keyed and what is not shares a call.
            Effect.map(
              runs.submit(n % 2 ? [spec] : [specOf(namespace), spec]),
              (some) => some[some.length - 1]!,
            )
          ),
        )).map((answer) => answer._tag === "Submitted" ? answer : assert.fail("a conflict"))
        assert.strictEqual(new Set(answers.map(({ run }) => run)).size, 1)
        assert.strictEqual(answers.filter(({ isNew }) => isNew).length, 1)
      }
    }))
}

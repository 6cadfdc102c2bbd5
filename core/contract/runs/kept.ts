/** R19: what a task keeps from one run to the next. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Namespace } from "../../domain/Namespace.ts"
import { Fence } from "../../domain/Lease.ts"
import { TaskName } from "../../domain/Task.ts"
import type { Report } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import {
  fresh,
  freshNamespace,
  greet,
  type Held,
  joined,
  putDown,
  retry,
  specOf,
  submitAll,
  succeed,
  type Tests,
  times,
} from "../world.ts"

const keeping = (held: Held, key: string, state?: string): Report =>
  ({
    ...succeed(held),
    kept: { key, ...(state !== undefined && { state }) },
  }) as Report

const state = (namespace: Namespace, key: string, task = greet) =>
  Effect.map(
    Storage.use(({ runs }) => runs.state(namespace, task, key)),
    Option.getOrUndefined,
  )

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R19 state: kept with the end of the run, by namespace, task and key", () =>
    Effect.gen(function* () {
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      const hand = yield* joined(namespace)
      yield* submitAll(times(6).map(() => specOf(namespace)))
      const [a, b, c, d, e, f] = (yield* hand.claim(6)).grants
      assert.isUndefined(yield* state(namespace, "ada"))
      yield* hand.settle(keeping(a!, "ada", "1"))
      yield* hand.settle(keeping(b!, "bob", '{"n":"ö"}'), retry(c!, 0), putDown(d!, '"here"'))
      assert.strictEqual(yield* state(namespace, "ada"), "1")
      assert.strictEqual(yield* state(namespace, "bob"), '{"n":"ö"}')
      assert.isUndefined(yield* state(namespace, "ada", TaskName.make(fresh("another"))))
      assert.isUndefined(yield* state(other, "ada"))
      yield* hand.claim(0, { reports: [keeping(e!, "ada", "2"), succeed(f!, '"plain"')] })
      assert.strictEqual(yield* state(namespace, "ada"), "2")
    }))

  it.effect("R19 state: what is no longer wanted goes", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const [a, b] = (yield* hand.claim(2)).grants
      yield* hand.settle(keeping(a!, "ada", "1"))
      yield* hand.settle(keeping(b!, "ada"))
      assert.isUndefined(yield* state(namespace, "ada"))
    }))

  it.effect("R19 state: a report that is not applied keeps nothing", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const [a, b] = (yield* hand.claim(2)).grants
      const settled = [
        yield* hand.settle(keeping(a!, "ada", "1")),
        yield* hand.settle(keeping(a!, "ada", "2")),
        yield* hand.settle(keeping({ ...b!, fence: Fence.make(b!.fence + 1) }, "ada", "3")),
      ]
      assert.deepEqual(settled.map(({ settled: [each] }) => each), [
        "applied",
        "duplicate",
        "fenced",
      ])
      assert.strictEqual(yield* state(namespace, "ada"), "1")
    }))

  it.effect("R19 state: of two for one key in one step the later run's stays", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const [a, b] = (yield* hand.claim(2)).grants
      yield* hand.settle(keeping(a!, "ada", "1"), keeping(b!, "ada", "2"))
      assert.strictEqual(yield* state(namespace, "ada"), "2")
    }))
}

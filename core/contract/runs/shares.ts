/** R23: keys that share places, and how often each of them passes. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Gate } from "../../domain/Blocking.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import type { RunId } from "../../domain/RunId.ts"
import * as Share from "../../domain/Share.ts"
import { TaskName } from "../../domain/TaskName.ts"
import { Storage } from "../../services/Storage.ts"
import {
  cancelled,
  freshNamespace,
  greet,
  ids,
  joined,
  putDown,
  resumed,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  times,
  together,
} from "../world.ts"

const gatesOf =
  (limit: number, weights: Readonly<Record<string, number>> = {}) =>
  (namespace: Namespace, key: string): Gate =>
    Share.gate(namespace, greet, { _tag: "Fair", limit, weights }, key)

const submitted = (namespace: Namespace, gate: Gate, count: number) =>
  submitAll(times(count).map(() => specOf(namespace, { gate })))

export const laws = <R>(it: Tests<Storage | R>): void => {
  /** Lets one run pass after the other, each ending before the next; of which key each was. */
  const passing = (namespace: Namespace, count: number, first: ReadonlyArray<Gate>) =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const hand = yield* joined(namespace)
      const order: Array<string> = []
      yield* runs.admit(first.map(({ key }) => key))
      while (order.length < count) {
        const grant = yield* hand.one
        const view = yield* runs.find(grant.run)
        assert(view._tag === "Some")
        order.push(Share.keyOf(view.value.gate!))
        const { freed } = yield* hand.settle(succeed(grant))
        yield* runs.admit(freed)
      }
      return order
    })

  const countOf = (order: ReadonlyArray<string>, key: string) =>
    order.filter((each) => each === key).length

  for (const limit of [1, 4]) {
    it.effect(`R23 shares: three to one, to within one run, with ${limit} at a time`, () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const gate = gatesOf(limit, { a: 3 })
        const [a, b] = [gate(namespace, "a"), gate(namespace, "b")]
        yield* submitted(namespace, a, 90)
        yield* submitted(namespace, b, 90)
        const hand = yield* joined(namespace)
        const order: Array<string> = []
        for (let freed = [a.key, b.key]; order.length < 80;) {
          yield* runs.admit(freed)
          const { grants } = yield* hand.claim(limit)
          assert.strictEqual(grants.length, limit)
          const views = yield* runs.findMany(ids(grants))
          order.push(...views.map((view) => Share.keyOf(view.gate!)))
          freed = [...(yield* hand.settle(...grants.map((grant) => succeed(grant)))).freed]
          // At any time, and so within 5 % of a hundred.
          assert.closeTo(countOf(order, "a"), order.length * 3 / 4, 1)
        }
      }))
  }

  it.effect("R23 shares: who comes to a flood waits for one place, whatever waits before", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gatesOf(2)
      const [flood, drop] = [gate(namespace, "flood"), gate(namespace, "drop")]
      yield* submitted(namespace, flood, 1000)
      const order = yield* passing(namespace, 20, [flood])
      assert.strictEqual(countOf(order, "flood"), 20)
      const run = yield* submitOne(specOf(namespace, { gate: drop }))
      yield* runs.admit([drop.key])
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(2)
      assert.isFalse(ids(grants).includes(run))
      const { freed } = yield* hand.settle(...grants.map((grant) => succeed(grant)))
      const admissions = yield* runs.admit(freed)
      assert.isTrue(ids(admissions).includes(run), "of the two places it has one")
    }))

  it.effect("R23 shares: nobody has more for having waited with none, nor less for having had all", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gatesOf(1)
      const [a, b] = [gate(namespace, "a"), gate(namespace, "b")]
      yield* submitted(namespace, a, 60)
      assert.strictEqual(countOf(yield* passing(namespace, 30, [a]), "a"), 30)
      yield* submitted(namespace, b, 40)
      const { runs } = yield* Storage
      yield* runs.admit([b.key])
      const order = yield* passing(namespace, 20, [])
      assert.closeTo(countOf(order, "a"), 10, 1)
    }))

  it.effect("R23 shares: within a key the better level passes first, then the one submitted first", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gatesOf(1)(namespace, "a")
      const levels = [1, 3, 0, 1] as const
      const made = yield* submitAll(levels.map((level) => specOf(namespace, { gate, level })))
      const order: Array<RunId> = []
      for (const _ of made) {
        const [admission] = yield* runs.admit([gate.key])
        order.push(admission!.run)
        yield* cancelled(admission!.run)
      }
      assert.deepStrictEqual(order, [made[2], made[0], made[3], made[1]])
    }))

  it.effect("R23 shares: all keys have their places in common, of their task alone", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gatesOf(3)
      const gates = times(5).map((nth) => gate(namespace, `key ${nth}`))
      for (const each of gates) yield* submitted(namespace, each, 2)
      const other = Share.gate(
        namespace,
        TaskName.make("other"),
        { _tag: "Fair", limit: 1 },
        "key 0",
      )
      yield* submitOne(specOf(namespace, { gate: other }))
      const admitted = yield* together(
        times(6).map((nth) =>
          runs.admit([...gates.slice(nth), ...gates.slice(0, nth)].map(({ key }) => key))
        ),
      )
      assert.strictEqual(ids(admitted.flat()).length, 3)
      assert.deepEqual(yield* runs.admit(gates.map(({ key }) => key)), [])
      assert.strictEqual((yield* runs.admit([other.key])).length, 1)
      // One that is put down gives its place of several back, and waits anew.
      const hand = yield* joined(namespace)
      const grant = yield* hand.one
      const { freed } = yield* hand.settle(putDown(grant))
      assert.strictEqual((yield* runs.admit(freed)).length, 1)
      yield* resumed(grant.run)
      assert.deepEqual(yield* runs.admit(freed), [])
    }))

  it.effect("R23 shares: a pool with a free place is open, and one that nobody has named yet", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gatesOf(1)
      const [a, b] = [gate(namespace, "a"), gate(namespace, "b")]
      yield* submitted(namespace, a, 2)
      const mine = (gates: ReadonlyArray<string>) => gates.filter((key) => key.includes(namespace))
      const open = Effect.map(runs.openGates(1000), mine)
      assert.deepEqual(yield* open, [a.key])
      yield* runs.admit([a.key])
      assert.deepEqual(yield* open, [])
      // Whoever submitted this died before it could admit.
      const [run] = yield* submitted(namespace, b, 1)
      assert.deepEqual(yield* open, [b.key])
      assert.deepEqual(yield* runs.admit([b.key]), [])
      assert.deepEqual(yield* open, [])
      const hand = yield* joined(namespace)
      yield* hand.settle(succeed(yield* hand.one))
      // Whoever was to admit next died as well.
      const [first] = yield* open
      assert.isDefined(first)
      yield* runs.admit([first as Gate["key"]])
      yield* hand.settle(succeed(yield* hand.one))
      yield* runs.admit([a.key])
      const last = yield* hand.one
      assert.strictEqual(sorted([last.run, run!]).length, 2)
    }))

  it.effect("R23 shares: what waits says who has the places", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gatesOf(1)
      const [a, b] = [gate(namespace, "a"), gate(namespace, "b")]
      const [holder] = yield* submitted(namespace, a, 1)
      const [first, second] = yield* submitted(namespace, b, 2)
      yield* runs.admit([a.key])
      for (const [run, ahead] of [[first!, 0], [second!, 1]] as const) {
        const why = yield* runs.why(run)
        assert(why._tag === "Some")
        assert.deepEqual(why.value, { _tag: "GateFull", gate: b.key, holders: [holder!], ahead })
      }
    }))
}

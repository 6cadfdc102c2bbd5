/** R6: which of the ready runs go first. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import type { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  type Elapse,
  freshNamespace,
  greet,
  type Hand,
  ids,
  joined,
  promoteAll,
  release,
  resumed,
  sorted,
  specOf,
  submitAll,
  submitOne,
  suspended,
  type Tests,
  times,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** The order in which `hand` gets all runs of `lanes`, by `limit` at a time. */
  const drained = (hand: Hand, lanes: ReadonlyArray<Lane.Lane>, limit: number) =>
    Effect.gen(function* () {
      const order: Array<RunId> = []
      for (;;) {
        const { grants } = yield* hand.claim(limit, { lanes })
        if (grants.length === 0) return order
        order.push(...sorted(ids(grants)))
      }
    })

  it.effect("R6 order: within a level, the first that became ready goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made: Array<RunId> = []
      for (const _ of times(12)) made.push(yield* submitOne(specOf(namespace)))
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 1), made)
      const batch = yield* submitAll(times(12).map(() => specOf(namespace)))
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 5), batch)
    }))

  it.effect("R6 order: better levels go first, across lanes", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lanes = ["a", "b", "c"].map((name) => Lane.Lane.make(`${namespace}:${name}`))
      const levels: ReadonlyArray<Lane.Level> = [2, 1, 4, 0, 1, 3, 2, 0, 0, 2, 4, 1, 3]
      const made: Array<readonly [RunId, Lane.Level]> = []
      for (const [n, level] of levels.entries()) {
        made.push([yield* submitOne(specOf(namespace, { level, lane: lanes[n % 3]! })), level])
      }
      const wanted = Lane.levels.flatMap((of) =>
        made.filter(([, level]) => level === of).map(([run]) => run)
      )
      const three = yield* hand.claim(3, { lanes })
      assert.deepStrictEqual(sorted(ids(three.grants)), wanted.slice(0, 3), "three at once")
      assert.deepStrictEqual(yield* drained(hand, lanes, 1), wanted.slice(3))
    }))

  it.effect("R6 order: an urgent one that comes later goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const usual = yield* submitAll(times(3).map(() => specOf(namespace)))
      assert.strictEqual((yield* hand.one).run, usual[0])
      const urgent = yield* submitOne(specOf(namespace, { level: 0 }))
      assert.strictEqual((yield* hand.one).run, urgent)
      assert.strictEqual((yield* hand.one).run, usual[1])
    }))

  it.effect("R6 order: a run past the patience of its level yields to no level", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lanes = ["a", "b"].map((name) => Lane.Lane.make(`${namespace}:${name}`))
      const [a, b] = lanes as [Lane.Lane, Lane.Lane]
      const low = yield* submitOne(specOf(namespace, { level: 2, lane: a }))
      yield* elapse(Duration.minutes(9))
      const usual = yield* submitOne(specOf(namespace, { lane: b }))
      const urgent = yield* submitOne(specOf(namespace, { level: 0, lane: b }))
      const { grants } = yield* hand.claim(1, { lanes })
      assert.deepStrictEqual(ids(grants), [urgent], "nine minutes are within the patience")
      yield* hand.settle(release(grants[0]!))
      // Now `low` is due since half a minute and `usual` since a quarter, before any urgent one.
      yield* elapse(Duration.seconds(75))
      const late = yield* submitOne(specOf(namespace, { level: 0, lane: b }))
      const order = yield* drained(hand, lanes, 1)
      assert.deepStrictEqual(order, [urgent, low, usual, late])
    }))

  it.effect("R6 order: no level starves, however many better ones keep coming", () =>
    Effect.gen(function* () {
      for (const level of Lane.levels.slice(1)) {
        const namespace = freshNamespace()
        const low = yield* submitOne(specOf(namespace, { level }))
        const urgent = () => submitAll(times(2).map(() => specOf(namespace, { level: 0 })))
        yield* urgent()
        // More come than are claimed, until its patience is over.
        for (const _ of times(4)) {
          yield* elapse(Duration.millis(Lane.patienceMillis[level] / 5))
          yield* urgent()
          assert.notStrictEqual((yield* (yield* joined(namespace)).one).run, low)
        }
        yield* elapse(Duration.millis(Lane.patienceMillis[level] / 5 + 1))
        yield* urgent()
        // Six that came before go first, and nobody who came after.
        const order = yield* drained(
          yield* joined(namespace),
          [Lane.ofTask(namespace, greet)],
          1,
        )
        assert.strictEqual(order.length, 9)
        assert.strictEqual(order.indexOf(low), 6)
      }
    }))

  it.effect("R6 order: one overdue run goes before better ones of its own lane", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lane = Lane.ofTask(namespace, greet)
      const low = yield* submitAll(times(2).map(() => specOf(namespace, { level: 2 })))
      yield* elapse(Duration.minutes(11))
      const usual = yield* submitAll(times(2).map(() => specOf(namespace)))
      const fresh = yield* submitOne(specOf(namespace, { level: 2 }))
      assert.deepStrictEqual(yield* drained(hand, [lane], 1), [...low, ...usual, fresh])
    }))

  it.effect("R6 order: a retried or released run has its place from when it is ready again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      const grant = yield* hand.one
      assert.strictEqual(grant.run, first)
      yield* elapse(Duration.seconds(5))
      yield* hand.settle(release(grant))
      assert.strictEqual((yield* hand.one).run, second)
      assert.strictEqual((yield* hand.one).run, first)
    }))

  it.effect("R6 order: what was due has its place from then, however late it is promoted", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const due = yield* submitOne(specOf(namespace, { delayMillis: 5000 }))
      yield* elapse(Duration.seconds(60))
      const later = yield* submitOne(specOf(namespace))
      yield* elapse(Duration.seconds(5))
      yield* promoteAll
      assert.strictEqual((yield* hand.one).run, due)
      assert.strictEqual((yield* hand.one).run, later)
    }))

  it.effect("R6 order: what was suspended before its first grant is where it was", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      yield* suspended(first!)
      yield* elapse(Duration.seconds(5))
      yield* resumed(first!)
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 2), [
        first,
        second,
      ])
    }))
}

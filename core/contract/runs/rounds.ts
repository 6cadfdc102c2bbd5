/** R7: a claim that is sent again. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import { Storage } from "../../services/Storage.ts"
import {
  found,
  freshNamespace,
  greet,
  ids,
  joined,
  release,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  times,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R7 rounds: an answer that was lost is given again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(10).map(() => specOf(namespace)))
      const lost = yield* hand.claim(4)
      for (const _ of times(3)) {
        const again = yield* hand.claim(4, { isAgain: true })
        assert.deepStrictEqual(
          again.grants.toSorted((a, b) => a.run - b.run),
          lost.grants.toSorted((a, b) => a.run - b.run),
        )
      }
      const next = yield* hand.claim(4)
      assert.deepStrictEqual(ids(next.grants).filter((run) => ids(lost.grants).includes(run)), [])
      assert.strictEqual(next.grants.length, 4)
    }))

  it.effect("R7 rounds: only the named round is given again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const heard = yield* hand.claim(2)
      const lost = yield* hand.claim(2)
      const again = yield* hand.claim(4, { isAgain: true })
      assert.deepStrictEqual(sorted(ids(again.grants)), sorted(ids(lost.grants)))
      assert.deepStrictEqual(ids(again.grants).filter((run) => ids(heard.grants).includes(run)), [])
    }))

  it.effect("R7 rounds: an earlier round is given again without those after it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const first = yield* hand.claim(2)
      const rounds = hand.answered()
      yield* hand.claim(2)
      const again = yield* runs.claim({
        incarnation: hand.incarnation,
        ...rounds[0]!,
        isAgain: true,
        lanes: [Lane.ofTask(namespace, greet)],
        limit: 4,
        reports: [],
      })
      if (again === "Lost") return assert.fail("the executor is lost")
      assert.deepStrictEqual(sorted(ids(again.grants)), sorted(ids(first.grants)))
    }))

  it.effect("R7 rounds: a request that was lost is simply carried out", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const empty = yield* hand.claim(2)
      assert.deepStrictEqual(empty.grants, [])
      const run = yield* submitOne(specOf(namespace))
      const { grants } = yield* hand.claim(2, { isAgain: true })
      assert.deepStrictEqual(ids(grants), [run])
    }))

  it.effect("R7 rounds: its reports are settled once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      const grant = yield* hand.one
      assert.strictEqual(grant.run, first)
      const reports = [succeed(grant, '"once"')]
      const sent = yield* hand.claim(1, { reports })
      assert.deepEqual(sent.settled, ["applied"])
      assert.deepStrictEqual(ids(sent.grants), [second!])
      const again = yield* hand.claim(1, { reports, isAgain: true })
      assert.deepEqual(again.settled, ["duplicate"])
      assert.deepStrictEqual(again.grants, sent.grants)
      assert.strictEqual((yield* found(first!)).result, '"once"')
    }))

  it.effect("R7 rounds: what was settled since is not handed out again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants: [a, b, c] } = yield* hand.claim(3)
      yield* hand.settle(succeed(a!), release(b!))
      const again = yield* hand.claim(3, { isAgain: true })
      const fences = new Map(again.grants.map(({ fence, run }) => [run, fence]))
      assert.isFalse(fences.has(a!.run))
      assert.strictEqual(fences.get(c!.run), c!.fence)
      // The released one may come along as a new grant, never with its old fence.
      assert.notStrictEqual(fences.get(b!.run), b!.fence)
    }))

  it.effect("R7 rounds: rounds of another loop or incarnation are not mixed up", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const other = yield* joined(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const mine = yield* hand.one
      const theirs = yield* other.one
      const request = {
        incarnation: hand.incarnation,
        loop: 2,
        round: 1,
        isAgain: true,
        lanes: [Lane.ofTask(namespace, greet)],
        limit: 5,
        reports: [],
      }
      assert.deepEqual(yield* runs.claim(request), { settled: [], grants: [], freed: [] })
      const again = yield* hand.claim(5, { isAgain: true })
      assert.deepStrictEqual(again.grants, [mine])
      assert.deepStrictEqual((yield* other.claim(5, { isAgain: true })).grants, [theirs])
    }))

  it.effect("R7 rounds: the last round is handed out again while new runs wait", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace, { level: 2 }))
      const lost = yield* hand.claim(2)
      yield* submitAll(times(5).map(() => specOf(namespace, { level: 0 })))
      const again = yield* hand.claim(2, { isAgain: true })
      assert.include(ids(again.grants), lost.grants[0]!.run)
      assert.isAtMost(again.grants.length, 2)
    }))
}

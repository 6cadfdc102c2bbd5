/** R13: grants that their holder does not know of. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  assertState,
  cancelled,
  found,
  freshNamespace,
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
  it.effect("R13 reconciled: what came with an answer and is not known is given back", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(5).map(() => specOf(namespace)))
      const { grants: [known, forgotten] } = yield* hand.claim(2)
      const rounds = hand.answered()
      // The answer of the next round is still under way.
      const { grants: [young, other] } = yield* hand.claim(2)
      const grants = [known!].map(({ fence, run }) => ({ run, fence }))
      const reconcile = (of: typeof rounds) =>
        Effect.map(runs.reconcile(hand.incarnation, { grants, rounds: of }), ({ passed }) => passed)
      assert.deepEqual(yield* reconcile([]), [])
      yield* assertState(forgotten!.run, "Running")
      assert.deepEqual(yield* reconcile(rounds), [])
      assert.deepInclude(yield* found(forgotten!.run), {
        state: "Ready",
        attempt: 0,
        fence: Fence.make(1),
      })
      for (const { run } of [known!, young!, other!]) yield* assertState(run, "Running")
      // It is granted anew, and then the same call comes late, a second time.
      const next = yield* hand.claim(5)
      assert.include(ids(next.grants), forgotten!.run)
      assert.deepEqual(yield* reconcile(rounds), [])
      yield* assertState(forgotten!.run, "Running")
      assert.deepEqual((yield* hand.settle(succeed(known!))).settled, ["applied"])
    }))

  it.effect("R13 reconciled: what is known is kept beside an earlier grant of the same run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const before = yield* hand.one
      yield* hand.settle(release(before))
      const now = yield* hand.one
      for (const named of [[before, now], [now, before]]) {
        yield* runs.reconcile(hand.incarnation, {
          grants: named.map(({ fence, run }) => ({ run, fence })),
          rounds: hand.answered(),
        })
        yield* assertState(run, "Running")
      }
      assert.deepEqual((yield* hand.settle(succeed(now))).settled, ["applied"])
    }))

  it.effect("R13 reconciled: what was asked to stop and is not known has ended", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* cancelled(run)
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* assertState(run, "Cancelled")
    }))

  it.effect("R13 reconciled: what another holds is not given back", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [hand, other] = [yield* joined(namespace), yield* joined(namespace)]
      const run = yield* submitOne(specOf(namespace))
      yield* other.one
      yield* hand.claim(1)
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* assertState(run, "Running")
    }))

  it.effect("R13 reconciled: names the grants that have passed on", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const other = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const { grants: [settled, released, held] } = yield* hand.claim(3)
      const theirs = yield* other.one
      yield* hand.settle(succeed(settled!), release(released!))
      const unknown = { run: RunId.make(Number.MAX_SAFE_INTEGER - 11), fence: held!.fence }
      const { passed } = yield* runs.reconcile(hand.incarnation, {
        grants: [settled!, released!, held!, theirs, unknown]
          .map(({ fence, run }) => ({ run, fence })),
        rounds: hand.answered(),
      })
      assert.deepStrictEqual(
        sorted(passed),
        sorted(ids([settled!, released!, theirs, unknown])),
      )
      yield* assertState(held!.run, "Running")
      yield* assertState(theirs.run, "Running")
    }))
}

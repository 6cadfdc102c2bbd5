/** R3: a run has at most one holder. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import { Fence } from "../../domain/Lease.ts"
import type { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  assertState,
  found,
  freshNamespace,
  greet,
  ids,
  joined,
  sorted,
  specOf,
  submitAll,
  submitOne,
  type Tests,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R3 single grant: claims at once share no run, and leave none behind", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const made = yield* submitAll(times(150).map(() => specOf(namespace)))
      const hands = yield* together(times(6).map(() => joined(namespace)))
      const all = (yield* together(hands.map((hand) =>
        Effect.gen(function* () {
          const mine: Array<RunId> = []
          for (let misses = 0; misses < 3;) {
            const { grants } = yield* hand.claim(7)
            assert.isAtMost(grants.length, 7)
            mine.push(...ids(grants))
            if (grants.length === 0) misses++
          }
          return mine
        })
      ))).flat()
      assert.deepStrictEqual(sorted(all), sorted(made))
    }))

  it.effect("R3 single grant: a grant names the run, and its holder is seen", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const careful = specOf(namespace, { isAtMostOnce: true, payload: "[1]" })
      const run = yield* submitOne(careful)
      const grant = yield* hand.one
      assert.deepEqual(grant, {
        run,
        fence: Fence.make(1),
        namespace,
        task: greet,
        attempt: 1,
        crashes: 0,
        isCareful: true,
        payload: "[1]",
      })
      const view = yield* found(run)
      assert.deepInclude(view, { state: "Running", attempt: 1, fence: Fence.make(1) })
      assert.deepEqual(view.executor, { incarnation: hand.incarnation, name: hand.name })
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
    }))

  it.effect("R3 single grant: a limit of none grants none", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.deepEqual(yield* hand.claim(0), { settled: [], grants: [], freed: [] })
      assert.deepEqual((yield* hand.claim(5, { lanes: [] })).grants, [])
      yield* assertState(run, "Ready")
    }))

  it.effect("R3 single grant: only the claimed lanes are looked at", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [here, there, elsewhere] = ["here", "there", "elsewhere"].map((name) =>
        Lane.Lane.make(`${namespace}:${name}`)
      )
      const inLane = (lane: Lane.Lane) => submitOne(specOf(namespace, { lane }))
      const a = yield* inLane(here!)
      const b = yield* inLane(there!)
      yield* inLane(elsewhere!)
      const { grants } = yield* hand.claim(5, { lanes: [here!, there!] })
      assert.deepStrictEqual(sorted(ids(grants)), sorted([a, b]))
    }))
}

/** R39: claims that most likely find nothing. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import { TaskName } from "../../domain/Task.ts"
import { Storage } from "../../services/Storage.ts"
import {
  type Elapse,
  freshNamespace,
  greet,
  ids,
  joined,
  specOf,
  submitOne,
  succeed,
  type Tests,
  times,
} from "../world.ts"

const mayBeVain = true as const

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  for (const others of [0, 3, 40]) {
    it.effect(`R39 vain: what is ready is granted, also beside ${others} lanes without a run`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const lanes = [...times(others).map((nth) => `other-${nth}`), greet].map((task) =>
          Lane.ofTask(namespace, TaskName.make(task))
        )
        assert.deepStrictEqual((yield* hand.claim(1, { lanes, mayBeVain })).grants, [])
        for (const level of Lane.levels) {
          const run = yield* submitOne(specOf(namespace, { level }))
          const { grants } = yield* hand.claim(1, { lanes, mayBeVain })
          assert.deepStrictEqual(ids(grants), [run])
          assert.deepStrictEqual((yield* hand.claim(1, { lanes, mayBeVain })).grants, [])
        }
      }))
  }

  it.effect("R39 vain: a round that is sent again hands out what it was granted", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace))
      const { grants } = yield* hand.claim(1)
      const again = yield* hand.claim(1, { isAgain: true, mayBeVain })
      assert.deepStrictEqual(again.grants, grants)
    }))

  it.effect("R39 vain: what it reports is settled", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      const reports = [succeed(grant)]
      assert.deepStrictEqual((yield* hand.claim(1, { reports, mayBeVain })).settled, ["applied"])
    }))

  for (const limit of [0, 1]) {
    it.effect(`R39 vain: whoever is lost, or has left, learns of it, asking for ${limit}`, () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const [late, gone] = [
          yield* joined(namespace, Duration.seconds(10)),
          yield* joined(namespace),
        ]
        const answerTo = ({ incarnation }: typeof late) =>
          runs.claim({
            incarnation,
            loop: 1,
            round: 1,
            isAgain: false,
            lanes: [Lane.ofTask(namespace, greet)],
            limit,
            reports: [],
            mayBeVain,
          })
        for (const hand of [late, gone]) assert.notStrictEqual(yield* answerTo(hand), "Lost")
        yield* gone.leave
        assert.strictEqual(yield* answerTo(gone), "Lost")
        yield* elapse(Duration.seconds(11))
        assert.strictEqual(yield* answerTo(late), "Lost")
      }))
  }
}

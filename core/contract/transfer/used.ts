/** That a slot fires once, wherever its trigger is. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Outbox from "../../domain/Outbox.ts"
import { Storage } from "../../services/Storage.ts"
import { cancelled, freshNamespace, joined, specOf, submitOne, succeed, times } from "../world.ts"
import { comparable, exported, imported, into, type Passage } from "./Passage.ts"
import { every, firing, followed, laneOf } from "./furnished.ts"

export const used = <R, R2>({ after, both, from, level, test, to }: Passage<R, R2>): void => {
  after(
    "X8 used: a slot fires once, and the next one does",
    ({ fired, namespace, trigger }) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        assert.deepEqual(yield* triggers.fire([fired[0]!]), [{ _tag: "Already" }])
        const [due] = (yield* triggers.due(times(1024), 600_000, 10)).triggers
        assert.strictEqual(due!.cursor, trigger.cursor)
        yield* to.elapse(Duration.minutes(2))
        const [next] = yield* triggers.fire([firing(trigger, namespace)])
        assert.strictEqual(next!._tag, "Fired")
      }),
  )

  after(
    "X8 used: a trigger that follows has what ends from then on",
    ({ namespace }) =>
      Effect.gen(function* () {
        const { outbox } = yield* Storage
        const lane = laneOf(namespace)
        const spec = specOf(namespace, { lane, task: followed })
        const waiting = yield* submitOne(specOf(namespace, { task: followed }))
        yield* cancelled(waiting)
        const run = yield* submitOne(spec)
        const hand = yield* joined(namespace)
        const { grants } = yield* hand.claim(1, { lanes: [lane] })
        yield* hand.claim(0, {
          reports: grants.map((grant) => succeed(grant)),
        })
        const events = yield* outbox.take({
          consumer: Outbox.triggers,
          partitions: [Outbox.partition({ namespace, name: "follower" })],
          limit: 100,
          forMillis: 0,
          taker: 1,
          round: 1,
        })
        assert.deepEqual(
          events.filter((event) => event.namespace === namespace).map((event) => event.run),
          [waiting, run],
        )
      }),
  )

  after(
    "X8 used: a trigger that tails goes on where it was",
    ({ namespace }) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const [found] = yield* triggers.tails({ namespace })
        const { tail, view } = found!
        assert.deepInclude(tail, { position: "12", passed: 12, failure: "its disk is gone" })
        const item = {
          trigger: view.id,
          revision: view.revision,
          entries: [{ position: "13", fire: specOf(namespace) }],
          passed: 0,
          endedMillisAgo: undefined,
          failure: undefined,
          to: "13",
        }
        assert.deepEqual(yield* triggers.tail({ ...item, from: "11" }), { _tag: "Behind" })
        assert.strictEqual((yield* triggers.tail({ ...item, from: "12" }))._tag, "Taken")
      }),
  )

  after(
    "X8 used: also one of a trigger that was removed, and comes back",
    (world) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const back = yield* triggers.put(world.removed.definition)
        assert.strictEqual(back.id, world.removed.id)
        const [, firing] = world.fired
        const [again] = yield* triggers.fire([{ ...firing!, revision: back.revision }])
        assert.strictEqual(again!._tag, "Already")
      }),
  )

  test("X8 used: also one whose record has left by its age", () =>
    Effect.gen(function* () {
      const { source, target } = yield* both
      const namespace = freshNamespace()
      const { fired, records } = yield* into(source)(Effect.gen(function* () {
        const { history, triggers } = yield* Storage
        const trigger = yield* triggers.put(every(namespace, "regular"))
        yield* from.elapse(Duration.minutes(2))
        const fired = firing(trigger, namespace)
        yield* triggers.fire([fired])
        yield* from.elapse(Duration.days(40))
        while ((yield* history.retire(100)).slots === 0);
        return { fired, records: yield* exported }
      }))
      yield* level(source, target)
      yield* into(target)(Effect.gen(function* () {
        const { triggers } = yield* Storage
        yield* imported(records)
        assert.deepEqual(yield* triggers.fire([fired]), [{ _tag: "Already" }])
        assert.deepEqual(yield* triggers.records(fired.trigger, 10), [])
        assert.deepEqual(comparable(yield* exported), comparable(records))
      }))
    }))
}

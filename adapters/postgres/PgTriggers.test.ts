/**
 * What fires most of the triggers is not what judges the others: see `fire_ahead`.
 *
 * Tried in that function, and caught: the cursor is not looked at (T1, T5); a revision counts for
 * nothing, paused ones fire (T4); the clock is not looked at (T3); it fires all the same when the clock
 * was set back, or waits for as long as that.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { DateTime, Duration, Effect, Fiber } from "effect"
import { freshNamespace, specOf } from "../../core/contract/world.ts"
import { definitionOf, put, recordsOf, runsOf } from "../../core/contract/triggers/triggers.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { TriggerName } from "../../core/domain/Trigger.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { Firing, TriggerView } from "../../core/services/TriggerStorage.ts"
import { client, layer, setClock } from "./TestStorage.ts"

/** So far before now that it is due. */
const ago = 1000

const due = Effect.fnUntraced(function* (namespace: Namespace, name: string) {
  const { now } = yield* Storage
  const sql = yield* client
  const view = yield* put(definitionOf(namespace, { name: TriggerName.make(name) }))
  const slot = (yield* now) - ago
  yield* sql.unsafe("UPDATE trigger SET cursor = $1 WHERE id = $2", [`${slot}`, view.id])
  return { ...view, cursor: slot }
})

const firing = (view: TriggerView): Firing => ({
  trigger: view.id,
  revision: view.revision,
  passed: undefined,
  fire: { slot: view.cursor!, spec: specOf(view.definition.namespace) },
  next: view.cursor! + 3_600_000,
})

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "triggers, postgres",
  (it) => {
    it.effect("T1 unique slot: a record at the cursor holds no other trigger up", () =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const sql = yield* client
        const namespace = freshNamespace()
        const recorded = yield* due(namespace, "recorded")
        const other = yield* due(namespace, "other")
        yield* sql.unsafe(
          `INSERT INTO slot (trigger, slot, through, outcome, lateness)
           SELECT id, cursor, cursor, 1, 0 FROM trigger WHERE id = $1`,
          [recorded.id],
        )
        const answers = yield* triggers.fire([firing(recorded), firing(other)])
        assert.deepEqual(answers.map(({ _tag }) => _tag), ["Already", "Fired"])
        assert.strictEqual((yield* recordsOf(recorded)).length, 1)
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
        const [moved] = (yield* triggers.list(namespace))
          .filter(({ id }) => id === recorded.id)
        assert.strictEqual(moved!.cursor, recorded.cursor + 3_600_000)
      }))

    it.effect("T18 ahead: if the clock is set back meanwhile, nothing was done", () =>
      Effect.gen(function* () {
        const { now, triggers } = yield* Storage
        yield* setClock(0)
        for (;;) {
          const namespace = freshNamespace()
          const at = (yield* now) + triggers.aheadMillis - 20
          const view = yield* put(definitionOf(namespace, { schedule: { _tag: "At", at } }))
          const handed = yield* Effect.forkChild(
            triggers.fire([{ ...firing(view), next: undefined }]),
          )
          yield* Effect.sleep("50 millis")
          yield* setClock(-5000)
          const isInTime = (yield* now) + 5000 < at
          const [answer] = yield* Fiber.join(handed)
          if (isInTime) {
            if (answer?._tag !== "NotDue") return assert.fail(answer?._tag)
            assert.isAbove(answer.remainingMillis, 4000)
            assert.deepStrictEqual(yield* runsOf(namespace), [])
            assert.deepStrictEqual(yield* recordsOf(view), [])
          }
          yield* setClock(5000)
          if (isInTime) return
        }
      }))

    it.effect("T6 each for itself: what is plain and what is not fire in one call", () =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const namespace = freshNamespace()
        const views = yield* Effect.forEach(
          ["a", "b", "c", "d"],
          (name) => due(namespace, name),
        )
        const [a, b, c, d] = views.map(firing)
        const answers = yield* triggers.fire([
          {
            ...a!,
            fire: { slot: a!.fire!.slot, spec: specOf(namespace, { delayMillis: 60_000 }) },
          },
          d!,
          { ...b!, revision: 7 },
          c!,
        ])
        assert.deepEqual(answers.map(({ _tag }) => _tag), ["Fired", "Fired", "Stale", "Fired"])
        const runs = yield* runsOf(namespace)
        const slots = new Map(
          runs.map(({ id, slot }) => [id, slot && DateTime.toEpochMillis(slot)]),
        )
        for (
          const [index, { cursor }] of [[0, views[0]!], [1, views[3]!], [3, views[2]!]] as const
        ) {
          const answer = answers[index]!
          assert.strictEqual(answer._tag === "Fired" && slots.get(answer.run), cursor)
        }
        assert.deepEqual(
          runs.map(({ state }) => state).toSorted(),
          ["Ready", "Ready", "Scheduled"],
        )
      }))
  },
)

/**
 * T18: what is handed over before its instant.
 *
 * Tried on PostgreSQL, and caught:
 *
 * | law | mistake                                                         |
 * | --- | --------------------------------------------------------------- |
 * | T18 | committed at once; waits for no instant; what is not plain does |
 * |     | not wait; a pause meanwhile is overlooked                       |
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Fiber, Option } from "effect"
import type { Namespace } from "../../domain/Namespace.ts"
import { Storage } from "../../services/Storage.ts"
import type { Fired } from "../../services/TriggerStorage.ts"
import { freshNamespace, gateOf, specOf, type Tests } from "../world.ts"
import { definitionOf, fireOne, firing, put, recordsOf, runsOf, viewOf } from "./triggers.ts"

export const ahead = <R>(it: Tests<Storage | R>): void => {
  /** A trigger whose one slot is as far ahead as it may be, and a little less. */
  const soon = Effect.fnUntraced(function* (namespace: Namespace) {
    const { now, triggers: { aheadMillis } } = yield* Storage
    const at = (yield* now) + Math.max(50, aheadMillis - 20)
    return { at, view: yield* put(definitionOf(namespace, { schedule: { _tag: "At", at } })) }
  })

  const assertAhead = (answer: Fired) =>
    assert.deepInclude(answer, { _tag: "Fired" }, "it was handed over ahead")

  for (const kind of ["plain", "gated"] as const) {
    it.effect(`T18 ahead: one that is ${kind} fires at its instant, and is not seen before`, () =>
      Effect.gen(function* () {
        const { now, triggers: { aheadMillis } } = yield* Storage
        const namespace = freshNamespace()
        const { at, view } = yield* soon(namespace)
        const gate = kind === "gated" ? gateOf(namespace, 1) : undefined
        const item = {
          ...firing(view),
          fire: { slot: at, spec: specOf(namespace, gate && { gate }) },
          next: undefined,
        }
        if (aheadMillis === 0) {
          assert.strictEqual((yield* fireOne(item))._tag, "NotDue")
          return
        }
        const handed = yield* Effect.forkChild(fireOne(item))
        for (;;) {
          const runs = yield* runsOf(namespace)
          const records = yield* recordsOf(view)
          // Read before: by now it may have come.
          if ((yield* now) >= at) break
          assert.deepStrictEqual([runs, records], [[], []], "it is not the instant yet")
        }
        const answer = yield* Fiber.join(handed)
        assertAhead(answer)
        assert.isAtLeast(yield* now, at)
        const [run] = yield* runsOf(namespace)
        assert.isAtLeast(DateTime.toEpochMillis(run!.createdAt), at)
        const [record] = yield* recordsOf(view)
        assert.deepInclude(record, { slot: at, outcome: "fired", run: run!.id })
        assert.isAtLeast(record!.latenessMillis, 0)
        assert.isUndefined((yield* viewOf(view)).cursor)
      }))
  }

  it.effect("T18 ahead: once a pause was acknowledged, nothing of it is still to come", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      const { at, view } = yield* soon(namespace)
      const handed = yield* Effect.forkChild(fireOne({ ...firing(view), next: undefined }))
      if (triggers.aheadMillis > 0) yield* Effect.sleep(Duration.millis(triggers.aheadMillis / 2))
      const paused = yield* triggers.pause(namespace, view.definition.name, true)
      const runs = yield* runsOf(namespace)
      assert.isTrue(Option.getOrThrow(paused).isPaused)
      const answer = yield* Fiber.join(handed)
      if (triggers.aheadMillis === 0) return assert.include(["NotDue", "Stale"], answer._tag)
      while ((yield* now) < at + 50) yield* Effect.sleep(Duration.millis(20))
      assert.deepStrictEqual(yield* runsOf(namespace), runs)
      assert.strictEqual(answer._tag, runs.length === 1 ? "Fired" : "Stale")
    }))
}

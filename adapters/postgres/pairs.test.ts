/**
 * Two sessions at once, for each pair of commands that touch the same rows: the first stops at each
 * of its marked points (`stopping.fixture.ts`), the second comes to its end or waits, and then the
 * first goes on. Whatever comes of it, at the end every run stands in one place, nothing was granted
 * twice, a gate has no more holders than places, and all that is left can be carried out.
 *
 * Each row below names the rows that both touch, and the law that says what must come of it. These
 * pairs touch none in common, in whichever order they come:
 *
 * | pair            | because                                                                      |
 * | --------------- | ---------------------------------------------------------------------------- |
 * | submit, fire    | each makes runs of its own; a key names no fired run                         |
 * | settle, fire    | what is fired now is held by nobody yet, and its gate is decided by `admit`  |
 * | cancel, fire    | nobody knows the id of a run before its fire has committed                   |
 * | recover, fire   | what is fired now is held by nobody yet                                      |
 *
 * Tried, and caught by the row named:
 *
 * | mistake                                                              | row                       |
 * | -------------------------------------------------------------------- | ------------------------- |
 * | admit takes no lock of its gate                                      | admit, admit              |
 * | a run that is held counts for no place                               | settle, admit             |
 * | a claim waits for the rows of another, or does not lock them first   | claim, claim              |
 * | of two submits of a key the last one wins                            | submit, submit            |
 * | what has settled is not known afterwards                             | settle, settle            |
 * | whether it is to stop is judged from before the wait                 | cancel, settle            |
 * | cancel looks at the grant before the lane, and once                  | claim, cancel             |
 * | recovery waits for the rows of another                               | settle, recover           |
 * | fire does not lock its trigger                                       | fire, fire                |
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { assertState, nothingHeld, together } from "../../core/contract/world.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Report } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import { stopping } from "./stopping.fixture.ts"
import { another, client, layer, TestStorage } from "./TestStorage.ts"
import { admitted } from "./pairs/admitted.fixture.ts"
import { cancelled } from "./pairs/cancelled.fixture.ts"
import { claimed } from "./pairs/claimed.fixture.ts"
import { fired } from "./pairs/fired.fixture.ts"
import { recovered } from "./pairs/recovered.fixture.ts"
import {
  claim,
  cyIsLost,
  grantsOf,
  type Scene,
  sceneOf,
  type Sides,
} from "./pairs/scene.fixture.ts"
import { settled } from "./pairs/settled.fixture.ts"
import { submitted } from "./pairs/submitted.fixture.ts"

/** Another process over the same database: what one gathers for a flush does not hold up the other. */
class Other extends Context.Service<Other, Storage["Service"]>()(
  "belfry/adapters/postgres/test/Other",
) {}

const both = Layer.provideMerge(
  Layer.effect(
    Other,
    Effect.flatMap(Effect.context<TestStorage>(), (context) =>
      Effect.map(
        Layer.build(Layer.provide(another(), Layer.succeedContext(context))),
        Context.get(Storage),
      )),
  ),
  layer,
)

/** Each table in which a run stands while it does not end, and the one in which it has. */
const placesOf = ["scheduled", "blocked", "ready", "lease", "parked", "outcome"]

/** As long as it takes for all runs to end: more often than any waits behind others. */
const roundsMax = 20

/** What holds after every pair. */
const assertSound = Effect.fnUntraced(function* (storage: Sides, scene: Scene) {
  const { runs } = storage
  const sql = yield* client
  const { namespace } = scene
  const stray = yield* sql.unsafe(
    `
    SELECT r.id::text, array_agg(p.place) AS places FROM run r
    JOIN task t ON t.id = r.task JOIN namespace n ON n.id = t.namespace
    LEFT JOIN (${
      placesOf.map((place) => `SELECT run_id, '${place}' AS place FROM ${place}`).join(
        " UNION ALL ",
      )
    }) p ON p.run_id = r.id
    WHERE n.name = $1 GROUP BY r.id HAVING count(p.place) <> 1`,
    [namespace],
  )
  assert.deepEqual(stray, [], "each run stands in one place")
  const crowded = yield* sql.unsafe(
    `
    SELECT r.gate, count(*)::int AS holders, max(r.gate_places) AS places FROM run r
    WHERE r.gate = ANY ($1::text[]) AND (EXISTS (SELECT FROM ready q WHERE q.run_id = r.id)
      OR EXISTS (SELECT FROM lease l WHERE l.run_id = r.id))
    GROUP BY r.gate HAVING count(*) > max(r.gate_places)`,
    [
      `{${[scene.gate.key, scene.other.key].map((key) => `"${key}"`).join(",")}}`,
    ],
  )
  assert.deepEqual(crowded, [], "no more hold a place than there are")
  // Whatever is left can be carried out, each grant with a higher fence than the one before.
  const fences = new Map<RunId, number>()
  for (let round = 0; round < roundsMax; round++) {
    const left = (yield* runs.list({ namespace, limit: 100 }))
      .filter(({ state }) => !Run.isFinal(state))
    if (left.length === 0) return
    for (const { fence, id } of left) fences.set(id, Math.max(fence, fences.get(id) ?? 0))
    yield* runs.recover(500)
    yield* runs.promote(500)
    yield* runs.admit([scene.gate.key, scene.other.key])
    const held = yield* Effect.forEach([scene.ann, scene.bob], (incarnation) =>
      Effect.map(
        runs.list({ namespace, states: ["Running"], limit: 100 }),
        (views) =>
          views.filter(({ executor }) => executor?.incarnation === incarnation)
            .map(({ fence, id }): Report => ({ _tag: "Succeed", run: id, fence })),
      ))
    yield* runs.settle(scene.ann, held[0]!)
    const claimed = yield* claim(storage, scene, scene.bob, held[1]!)
    for (const { fence, run } of grantsOf(claimed)) {
      assert.isAbove(fence, fences.get(run) ?? 0, "a fence rises")
    }
  }
  assert.fail("some run is left")
})

const pairs = [
  ...submitted,
  ...admitted,
  ...claimed,
  ...settled,
  ...cancelled,
  ...recovered,
  ...fired,
] as const

withLayer(both, { excludeTestServices: true, timeout: Duration.minutes(2) })(
  "pairs, postgres",
  (it) => {
    for (
      const { before, ends = {}, first, holds, law, over, pair, points, second, waits } of pairs
    ) {
      it.effect(`${pair} over ${over}. ${law}`, () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const other = yield* Other
          for (const point of points) {
            const scene = yield* sceneOf(storage)
            if (before !== undefined) yield* before(storage, scene)
            yield* together(
              [scene.ann, scene.bob].map((incarnation) =>
                storage.executors.beat(incarnation, nothingHeld)
              ),
            )
            const answers = yield* stopping(point, first(other, scene), second(storage, scene))
            if (waits !== undefined) {
              assert.strictEqual(answers.waited, waits, point)
            }
            holds(answers as never, scene)
            yield* cyIsLost
            yield* assertSound(storage, scene)
            for (const [which, state] of Object.entries(ends)) {
              yield* assertState(scene[which as keyof typeof ends], state)
            }
          }
        }).pipe(Effect.scoped), 120_000)
    }
  },
)

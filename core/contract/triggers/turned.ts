/**
 * What becomes of a trigger whose rule changes, and of the slots that were due then: T10 to T12.
 *
 * Tried, and caught:
 *
 * | law | mistake                                                                              |
 * | --- | ------------------------------------------------------------------------------------ |
 * | T10 | no record at a resume, an edit, a removal; cursor moved by another payload           |
 * | T5  | cursor not compared with the one that was read (PostgreSQL)                         |
 * | T11 | revision compared before the write only (PostgreSQL); not compared                   |
 * | T12 | no version at a removal; `since` after a slot that is still due; no bound; one that   |
 * |     | is past its slots begins anew by a clock that was set back                           |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Namespace } from "../../domain/Namespace.ts"
import * as Trigger from "../../domain/Trigger.ts"
import { Storage } from "../../services/Storage.ts"
import { versionsMax } from "../../services/TriggerStorage.ts"
import {
  apart,
  definitionOf,
  fireOne,
  firing,
  put,
  recordsOf,
  runsOf,
  second,
  viewOf,
} from "./triggers.ts"
import { type Elapse, freshNamespace, type Tests, times, together } from "../world.ts"

export const turned = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** A new trigger, of which so many slots are due. */
  const dueTrigger = (namespace: Namespace, slots: number) =>
    Effect.gen(function* () {
      const view = yield* put(definitionOf(namespace))
      yield* elapse(Duration.millis(slots * apart + 2 * second))
      return yield* viewOf(view)
    })

  const pause = (namespace: Namespace, isPaused: boolean) =>
    Effect.map(
      Storage.use(({ triggers }) =>
        triggers.pause(namespace, Trigger.TriggerName.make("every-so-often"), isPaused)
      ),
      Option.getOrThrow,
    )

  const versionsOf = (view: { readonly id: Trigger.TriggerId }, limit = 1000) =>
    Storage.use(({ triggers }) => triggers.versions(view.id, limit))

  it.effect("T10 every slot: what passed during a pause is skipped as paused, as one record", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      yield* pause(namespace, true)
      yield* elapse(Duration.millis(5 * apart + 2 * second))
      assert.deepEqual(yield* recordsOf(view), [], "nothing is recorded before it goes on")
      const resumed = yield* pause(namespace, false)
      const first = resumed.cursor! - 5 * apart
      const [record, ...others] = yield* recordsOf(view)
      assert.deepEqual(others, [])
      assert.deepInclude(record, {
        slot: first,
        through: first + 4 * apart,
        outcome: "skipped",
        reason: "paused",
        revision: view.revision,
      })
      assert.isAtLeast(record!.latenessMillis, 0)
      assert.deepEqual(yield* runsOf(namespace), [])
      assert.deepEqual(yield* pause(namespace, false), resumed, "it goes on once")
      assert.strictEqual((yield* recordsOf(view)).length, 1)
    }))

  it.effect("T10 every slot: a pause within which nothing was due leaves no record", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      yield* pause(namespace, true)
      const resumed = yield* pause(namespace, false)
      assert.strictEqual(resumed.cursor, view.cursor)
      assert.deepEqual(yield* recordsOf(view), [])
    }))

  it.effect("T10 every slot: another schedule skips what is due, another payload does not", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 3)
      const other = yield* put(definitionOf(namespace, { payload: '"other"' }))
      assert.strictEqual(other.cursor, view.cursor)
      assert.strictEqual((yield* fireOne(firing(other)))._tag, "Fired")
      const anew = yield* put(
        definitionOf(namespace, { schedule: { _tag: "Every", millis: 7 * apart } }),
      )
      assert.isAbove(anew.cursor!, view.cursor! + 2 * apart)
      const [edited, fired] = yield* recordsOf(view)
      assert.deepInclude(edited, {
        slot: view.cursor! + apart,
        through: view.cursor! + 2 * apart,
        outcome: "skipped",
        reason: "edited",
      })
      assert.deepInclude(fired, { slot: view.cursor!, outcome: "fired", revision: other.revision })
    }))

  it.effect("T10 every slot: an edit during a pause skips as paused, and stays paused", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 2)
      yield* pause(namespace, true)
      const anew = yield* put(
        definitionOf(namespace, { schedule: { _tag: "Every", millis: 7 * apart } }),
      )
      assert.isTrue(anew.isPaused)
      const records = yield* recordsOf(view)
      assert.strictEqual(records.length, 1)
      assert.deepInclude(records[0], { reason: "paused", through: view.cursor! + apart })
    }))

  it.effect("T10 every slot: a removed trigger that is put again goes on with its records", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 2)
      yield* fireOne(firing(view))
      yield* triggers.remove(namespace, view.definition.name)
      const again = yield* put(definitionOf(namespace))
      assert.deepInclude(again, { id: view.id, isPaused: false })
      assert.isAbove(again.revision, view.revision + 1)
      assert.deepEqual(
        (yield* recordsOf(again)).map(({ outcome, reason }) => [outcome, reason]),
        [["skipped", "removed"], ["fired", undefined]],
      )
    }))

  it.effect("T5 onward: fired and edited at once, each slot has one record", () =>
    Effect.gen(function* () {
      const slots = 8
      const views = yield* Effect.forEach(times(8), () => put(definitionOf(freshNamespace())))
      yield* elapse(Duration.millis(slots * apart + 2 * second))
      yield* together(views.map((before) =>
        Effect.gen(function* () {
          const view = yield* viewOf(before)
          const { namespace } = view.definition
          const edited = definitionOf(namespace, { schedule: { _tag: "Every", millis: 3 * apart } })
          const planner = Effect.gen(function* () {
            for (const ahead of times(slots)) {
              if ((yield* fireOne(firing(view, ahead)))._tag === "Stale") return ahead
            }
            return slots
          })
          // The edit begins when some slots have fired.
          const edit = Effect.andThen(viewOf(view), put(edited))
          const [fired] = yield* Effect.all([planner, edit], { concurrency: "unbounded" })
          const records = (yield* recordsOf(view)).toReversed()
          assert.deepEqual(
            records.map(({ outcome, reason, slot, through }) => ({
              slot,
              through,
              why: reason ?? outcome,
            })),
            [
              ...times(fired).map((nth) => view.cursor! + nth * apart)
                .map((slot) => ({ slot, through: slot, why: "fired" })),
              ...(fired === slots ? [] : [{
                slot: view.cursor! + fired * apart,
                through: view.cursor! + (slots - 1) * apart,
                why: "edited",
              }]),
            ],
          )
        })
      ))
    }))

  it.effect("T12 versions, T5: past its slots it stays so, though the clock is set back to before", () =>
    Effect.gen(function* () {
      const { cursor: at } = yield* dueTrigger(freshNamespace(), 1)
      const namespace = freshNamespace()
      const once = { schedule: { _tag: "At", at: at! } } as const
      const view = yield* put(definitionOf(namespace, once))
      const [before] = yield* versionsOf(view, 1)
      yield* elapse(Duration.minutes(-10))
      const other = yield* put(definitionOf(namespace, { ...once, payload: '"other"' }))
      assert.isUndefined(other.cursor)
      const [after] = yield* versionsOf(view, 1)
      assert.deepInclude(after, { revision: other.revision, since: before!.since })
      yield* elapse(Duration.minutes(10))
    }))

  it.effect("T11 no lost update: another revision than the kept one changes nothing", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const name = "every-so-often"
      const conflict = (revision: number) => ({
        _tag: "TriggerChanged" as const,
        name,
        revision,
      })
      const none = yield* Effect.flip(put(definitionOf(namespace), 3))
      assert.deepInclude(none, conflict(0))
      const view = yield* put(definitionOf(namespace), 0)
      assert.deepInclude(yield* Effect.flip(put(definitionOf(namespace), 0)), conflict(1))
      const other = definitionOf(namespace, { payload: '"other"' })
      assert.deepInclude(yield* Effect.flip(put(other, 2)), conflict(1))
      assert.deepEqual(yield* viewOf(view), view)
      assert.strictEqual((yield* put(other, 1)).revision, 2)
      assert.deepInclude(yield* Effect.flip(put(definitionOf(namespace), 1)), conflict(2))
    }))

  it.effect("T11 no lost update: of edits that race each is done on what it has seen", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace, { payload: "0" }))
      const edits = 8
      let conflicts = 0
      const racer = Effect.gen(function* () {
        for (let done = 0; done < edits;) {
          const { definition: { payload }, revision } = yield* viewOf(first)
          const wanted = definitionOf(namespace, { payload: `${Number(payload) + 1}` })
          const answer = yield* Effect.result(put(wanted, revision))
          if (answer._tag === "Success") done++
          else {
            assert.strictEqual((answer.failure as { _tag: string })._tag, "TriggerChanged")
            conflicts++
          }
        }
      })
      yield* together(times(6).map(() => racer))
      const { definition, revision } = yield* viewOf(first)
      assert.strictEqual(definition.payload, `${6 * edits}`)
      assert.strictEqual(revision, 1 + 6 * edits)
      assert.isAtLeast(conflicts, 0)
    }))

  it.effect("T12 versions: each rule is kept with the first slot it is in force for", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const [born] = yield* versionsOf(view)
      assert.deepEqual(born!.definition, view.definition)
      assert.isAtMost(born!.since, view.cursor!)
      yield* elapse(Duration.millis(2 * apart + 2 * second))
      // Two slots are due, and fire by the new definition.
      const paid = yield* put(definitionOf(namespace, { payload: "1" }))
      const [second_] = yield* versionsOf(view)
      assert.deepInclude(second_, { revision: 2, since: view.cursor!, definition: paid.definition })
      const anew = yield* put(
        definitionOf(namespace, { schedule: { _tag: "Every", millis: 7 * apart } }),
      )
      const [third] = yield* versionsOf(view)
      assert.isAbove(third!.since, view.cursor! + apart)
      assert.isAtMost(third!.since, anew.cursor!)
      yield* triggers.remove(namespace, view.definition.name)
      const [gone, ...others] = yield* versionsOf(view)
      assert.isUndefined(gone!.definition)
      assert.isAtMost(gone!.since, (yield* now) + 1)
      assert.deepEqual(others.map(({ revision }) => revision), [3, 2, 1])
      assert.strictEqual((yield* versionsOf(view, 2)).length, 2)
    }))

  it.effect("T12 versions: the latest are kept", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace))
      for (const nth of times(versionsMax + 4)) {
        yield* put(definitionOf(namespace, { payload: `${nth}` }))
      }
      const versions = yield* versionsOf(first)
      assert.strictEqual(versions.length, versionsMax)
      assert.strictEqual(versions[0]!.revision, versionsMax + 5)
    }))
}

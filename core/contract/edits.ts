/** S4: edits of one task, trigger or calendar that race. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Calendar, CalendarName } from "../domain/Calendar.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import {
  definitionOf,
  freshNamespace,
  greet,
  sorted,
  type Tests,
  times,
  together,
} from "./world.ts"

/** So many at a time, which is more than any adapter carries out at once. */
const atOnce = 20

export interface EditOptions {
  /** How many edits of each kind race. */
  readonly edits?: number
}

interface Edited {
  readonly revision: number
  readonly says: string
}

export const laws = <R>(it: Tests<Storage | R>, { edits = 100 }: EditOptions): void => {
  /** Each edit says something of its own, so each of them is a change. */
  const raced = <E>(
    edit: (says: string) => Effect.Effect<Edited, E, Storage>,
    kept: Effect.Effect<Edited, E, Storage>,
  ) =>
    Effect.gen(function* () {
      const answers: Array<Edited> = []
      for (const round of times(edits / atOnce)) {
        answers.push(
          ...yield* together(times(atOnce).map((n) => edit(`${round * atOnce + n}`))),
        )
      }
      assert.deepEqual(
        sorted(answers.map(({ revision }) => revision)),
        times(edits).map((n) => n + 1),
        "no two have a revision in common, and none is passed over",
      )
      assert.deepEqual(yield* kept, answers.find(({ revision }) => revision === edits))
    })

  it.effect("S4 one after another: of triggers", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const name = TriggerName.make("edited")
      const editedOf = (
        { definition, revision }: { definition: TriggerDefinition; revision: number },
      ) => ({ revision, says: definition.payload })
      yield* raced(
        (says) =>
          Effect.map(
            triggers.put(
              new TriggerDefinition({
                namespace,
                name,
                task: greet,
                schedule: { _tag: "Every", millis: 3_600_000 },
                payload: says,
                misfire: { _tag: "Skip" },
              }),
            ),
            editedOf,
          ),
        Effect.map(triggers.find(namespace, name), (found) => editedOf(Option.getOrThrow(found))),
      )
    }))

  it.effect("S4 one after another: edits of what was seen lose no update", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const name = TriggerName.make("counted")
      const saying = (payload: string) =>
        new TriggerDefinition({
          namespace,
          name,
          task: greet,
          schedule: { _tag: "Every", millis: 3_600_000 },
          payload,
          misfire: { _tag: "Skip" },
        })
      yield* triggers.put(saying("0"))
      const seen = Effect.map(triggers.find(namespace, name), Option.getOrThrow)
      let done = 0
      const racer = Effect.gen(function* () {
        let { definition, revision } = yield* seen
        for (const _ of times(edits / 4)) {
          const next = saying(`${Number(definition.payload) + 1}`)
          const answer = yield* Effect.result(triggers.put(next, revision))
          if (answer._tag === "Success") done++
          else {
            assert(answer.failure._tag === "TriggerChanged")
            assert.isAbove(answer.failure.revision, revision, "it says to what")
          }
          const now = answer._tag === "Success" ? answer.success : yield* seen
          definition = now.definition
          revision = now.revision
        }
      })
      yield* together(times(4).map(() => racer))
      const { definition, revision } = yield* seen
      assert.strictEqual(definition.payload, `${done}`)
      assert.strictEqual(revision, 1 + done)
      assert.isBelow(done, edits, "some have met")
    }))

  it.effect("S4 one after another: of calendars", () =>
    Effect.gen(function* () {
      const { calendars } = yield* Storage
      const namespace = freshNamespace()
      const name = CalendarName.make("edited")
      const dateOf = (days: string) =>
        new Date(Date.UTC(2031, 0, 1) + Number(days) * 86_400_000).toISOString().slice(0, 10)
      const editedOf = ({ calendar, revision }: { calendar: Calendar; revision: number }) => ({
        revision,
        says: `${(Date.parse(calendar.holidays[0]!) - Date.UTC(2031, 0, 1)) / 86_400_000}`,
      })
      yield* raced(
        (says) =>
          Effect.map(
            calendars.put(
              new Calendar({
                namespace,
                name,
                rest: [],
                holidays: [dateOf(says)],
                workdays: [],
              }),
            ),
            editedOf,
          ),
        Effect.map(calendars.find(namespace, name), (found) => editedOf(Option.getOrThrow(found))),
      )
    }))

  it.effect("S4 one after another: of tasks", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      for (const round of times(edits / atOnce)) {
        yield* together(
          times(atOnce).map((n) => tasks.define([definitionOf(namespace, greet, `${round} ${n}`)])),
        )
      }
      assert.strictEqual(Option.getOrThrow(yield* tasks.find(namespace, greet)).revision, edits)
    }))
}

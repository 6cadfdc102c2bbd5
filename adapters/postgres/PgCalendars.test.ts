/** What happens between two sessions: each waits for the other, and sees what it did. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option } from "effect"
import { freshNamespace, greet } from "../../core/contract/world.ts"
import { Calendar, CalendarName } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import { Storage } from "../../core/services/Storage.ts"
import { client, layer } from "./TestStorage.ts"

const office = CalendarName.make("office")

const calendarOf = (namespace: Namespace, holidays: ReadonlyArray<string> = []) =>
  new Calendar({ namespace, name: office, rest: [], holidays, workdays: [] })

const daily = (namespace: Namespace) =>
  new TriggerDefinition({
    namespace,
    name: TriggerName.make("daily"),
    task: greet,
    schedule: { _tag: "Cron", expression: "@daily", zone: "UTC", calendar: office },
    payload: "1",
    misfire: { _tag: "Once" },
  })

const of = "namespace = (SELECT id FROM namespace WHERE name = $1)"

/** What `ours` ends with, begun while another session has done `theirs` and not committed yet. */
const meanwhile = <A, E, R>(
  namespace: Namespace,
  theirs: string,
  ours: Effect.Effect<A, E, R>,
) =>
  Effect.gen(function* () {
    const sql = yield* client
    const fiber = yield* sql.withTransaction(Effect.gen(function* () {
      yield* sql.unsafe(theirs, [namespace])
      const begun = yield* Effect.forkChild(ours)
      yield* Effect.sleep("300 millis")
      assert.isUndefined(begun.pollUnsafe(), "it waits")
      return begun
    }))
    return yield* Fiber.await(fiber)
  }).pipe(Effect.scoped)

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "calendars, postgres",
  (it) => {
    it.effect("T7 known calendar: one that is being removed is not named any more", () =>
      Effect.gen(function* () {
        const { calendars, triggers } = yield* Storage
        const namespace = freshNamespace()
        yield* calendars.put(calendarOf(namespace))
        const put = yield* meanwhile(
          namespace,
          `DELETE FROM calendar WHERE ${of}`,
          triggers.put(daily(namespace)),
        )
        assert.isTrue(Exit.isFailure(put))
        assert.deepEqual(yield* triggers.list(namespace), [])
      }))

    it.effect("T7 known calendar: one that is being changed counts as changed", () =>
      Effect.gen(function* () {
        const { calendars, now, triggers } = yield* Storage
        const namespace = freshNamespace()
        yield* calendars.put(calendarOf(namespace))
        const tomorrow = new Date((yield* now) + 86_400_000).toISOString().slice(0, 10)
        const changed = JSON.stringify({ ...calendarOf(namespace, [tomorrow]) })
        const put = yield* meanwhile(
          namespace,
          `UPDATE calendar SET revision = 2, definition = '${changed}' WHERE ${of}`,
          triggers.put(daily(namespace)),
        )
        assert(Exit.isSuccess(put))
        assert.isAbove(put.value.cursor!, Date.parse(tomorrow))
      }))

    it.effect("C3 named, kept: one that is being named is not removed", () =>
      Effect.gen(function* () {
        const { calendars } = yield* Storage
        const namespace = freshNamespace()
        yield* calendars.put(calendarOf(namespace))
        const removed = yield* meanwhile(
          namespace,
          `WITH named AS (SELECT namespace FROM calendar WHERE ${of} FOR SHARE)
           INSERT INTO trigger (namespace, name, revision, partition, definition, calendar)
           SELECT namespace, 'daily', 1, 0, '{}', 'office' FROM named`,
          calendars.remove(namespace, office),
        )
        assert.isTrue(Exit.isFailure(removed))
        assert.isTrue(Option.isSome(yield* calendars.find(namespace, office)))
      }))
  },
)

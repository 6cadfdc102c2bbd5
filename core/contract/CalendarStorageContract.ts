/**
 * The laws of `CalendarStorage`, as tests, and T7 of `TriggerStorage`.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                                      |
 * | --- | ---------------------------------------------------------------------------- |
 * | C1  | the first calendar stays; those of all namespaces listed                     |
 * | C2  | always raised; never raised                                                  |
 * | C3  | removed all the same; paused triggers, or other namespaces' ones, miscounted |
 * | C4  | triggers left alone; revision or cursor stays; first slot after now; all     |
 * |     | triggers follow; what is recorded overlooked                                 |
 * | T7  | not asked; another namespace's calendar; resumed by another one              |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer, Option } from "effect"
import { Calendar, CalendarName } from "../domain/Calendar.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Trigger from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import type { TriggerView } from "../services/TriggerStorage.ts"
import {
  block,
  type Elapse,
  freshNamespace,
  greet,
  type Options,
  specOf,
  type Tests,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`CalendarStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

const office = CalendarName.make("office")
const dayMillis = 86_400_000
const dateAt = (instant: number) => new Date(instant).toISOString().slice(0, 10)

const calendarOf = (namespace: Namespace, differently: Partial<Calendar> = {}): Calendar =>
  new Calendar({
    namespace,
    name: office,
    rest: [],
    holidays: [],
    workdays: [],
    ...differently,
  })

/** Every minute on workdays. */
const minutely = (namespace: Namespace, name = "minutely") =>
  new Trigger.TriggerDefinition({
    namespace,
    name: Trigger.TriggerName.make(name),
    task: greet,
    schedule: { _tag: "Cron", expression: "* * * * *", zone: "UTC", calendar: office },
    payload: "1",
    misfire: { _tag: "Once" },
  })

const put = (calendar: Calendar) => Storage.use(({ calendars }) => calendars.put(calendar))
const found = (namespace: Namespace, name = office) =>
  Storage.use(({ calendars }) => calendars.find(namespace, name))
const schedule = (definition: Trigger.TriggerDefinition) =>
  Storage.use(({ triggers }) => triggers.put(definition))
const viewOf = ({ definition: { name, namespace } }: TriggerView) =>
  Effect.map(
    Storage.use(({ triggers }) => triggers.find(namespace, name)),
    Option.getOrThrowWith(() => new Error("the trigger is not known")),
  )

/** Free today and tomorrow, which covers a test that runs into midnight. */
const soonFree = (now: number) => [dateAt(now), dateAt(now + dayMillis)]

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("C1 latest: what was put last is found, whole, and listed", () =>
    Effect.gen(function* () {
      const { calendars } = yield* Storage
      const namespace = freshNamespace()
      const rich = calendarOf(namespace, {
        rest: ["SUN", "SAT"],
        holidays: ["2031-01-01", "2031-10-01"],
        workdays: ["2031-10-04"],
      })
      yield* put(calendarOf(namespace))
      assert.deepEqual(yield* put(rich), { calendar: rich, revision: 2 })
      assert.deepEqual(Option.getOrThrow(yield* found(namespace)), { calendar: rich, revision: 2 })
      yield* put(calendarOf(namespace, { name: CalendarName.make("a") }))
      assert.deepEqual(yield* calendars.list(namespace), [
        { name: CalendarName.make("a"), revision: 1 },
        { name: office, revision: 2 },
      ])
    }))

  it.effect("C1 latest: what was never put is not found, nor is what is of another namespace", () =>
    Effect.gen(function* () {
      const { calendars } = yield* Storage
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      yield* put(calendarOf(other))
      assert.isTrue(Option.isNone(yield* found(namespace)))
      assert.deepEqual(yield* calendars.list(namespace), [])
      assert.isFalse(yield* calendars.remove(namespace, office))
      assert.isTrue(Option.isSome(yield* found(other)))
    }))

  it.effect("C2 revision: rises by one with a different calendar only", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const changes: ReadonlyArray<Partial<Calendar>> = [
        {},
        { rest: ["SUN"] },
        { holidays: ["2031-10-01"] },
        { workdays: ["2031-10-04"] },
      ]
      for (const [at, change] of changes.entries()) {
        const calendar = calendarOf(namespace, change)
        assert.strictEqual((yield* put(calendar)).revision, at + 1)
        assert.strictEqual((yield* put(calendarOf(namespace, change))).revision, at + 1)
      }
    }))

  it.effect("C2 revision: put by many at once, each of them counts once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const dates = times(8).map((n) => `2031-10-0${n + 1}`)
      yield* together(dates.map((date) => put(calendarOf(namespace, { holidays: [date] }))))
      const kept = Option.getOrThrow(yield* found(namespace))
      assert.strictEqual(kept.revision, 8)
      assert.include(dates, kept.calendar.holidays[0])
    }))

  it.effect("C3 named, kept: it is not removed while a trigger names it, paused or not", () =>
    Effect.gen(function* () {
      const { calendars, triggers } = yield* Storage
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const { definition } = yield* schedule(minutely(namespace))
      const refused = yield* Effect.flip(calendars.remove(namespace, office))
      assert.strictEqual(refused._tag, "Refused")
      assert.include(refused.message, "minutely")
      yield* triggers.pause(namespace, definition.name, true)
      assert.strictEqual((yield* Effect.flip(calendars.remove(namespace, office)))._tag, "Refused")
      assert.isTrue(Option.isSome(yield* found(namespace)))
      const other = freshNamespace()
      yield* put(calendarOf(other))
      assert.isTrue(yield* calendars.remove(other, office), "no trigger of its own names it")
      yield* triggers.remove(namespace, definition.name)
      assert.isTrue(yield* calendars.remove(namespace, office))
      assert.isTrue(Option.isNone(yield* found(namespace)))
      assert.isFalse(yield* calendars.remove(namespace, office))
    }))

  it.effect("C3 named, kept: it may go once its trigger goes without it", () =>
    Effect.gen(function* () {
      const { calendars } = yield* Storage
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const { definition } = yield* schedule(minutely(namespace))
      yield* schedule(
        new Trigger.TriggerDefinition({
          ...definition,
          schedule: { _tag: "Cron", expression: "* * * * *", zone: "UTC" },
        }),
      )
      assert.isTrue(yield* calendars.remove(namespace, office))
    }))

  it.effect("C3 named, kept: removed and named at once, one of both is refused", () =>
    Effect.gen(function* () {
      const { calendars, triggers } = yield* Storage
      for (const _ of times(8)) {
        const namespace = freshNamespace()
        yield* put(calendarOf(namespace))
        const ends = yield* together([
          Effect.isSuccess(calendars.remove(namespace, office)),
          Effect.isSuccess(schedule(minutely(namespace))),
        ])
        assert.strictEqual(ends.filter((isDone) => isDone).length, 1)
        const isNamed = (yield* triggers.list(namespace)).length === 1
        assert.strictEqual(Option.isSome(yield* found(namespace)), isNamed)
      }
    }))

  it.effect("C4 followed: the cursor goes where the new rule says, and back", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const before = yield* schedule(minutely(namespace))
      const other = yield* schedule(
        new Trigger.TriggerDefinition({
          ...minutely(namespace, "other"),
          schedule: { _tag: "Cron", expression: "* * * * *", zone: "UTC" },
        }),
      )
      const elsewhere = freshNamespace()
      yield* put(calendarOf(elsewhere))
      const same = yield* schedule(minutely(elsewhere))
      const free = soonFree(yield* now)
      yield* put(calendarOf(namespace, { holidays: free }))
      assert.deepEqual(yield* viewOf(same), same)
      const moved = yield* viewOf(before)
      assert.strictEqual(moved.revision, before.revision + 1)
      assert.strictEqual(moved.cursor! % dayMillis, 0)
      assert.notInclude(free, dateAt(moved.cursor!))
      yield* put(calendarOf(namespace, { holidays: [] }))
      const back = yield* viewOf(before)
      assert.strictEqual(back.revision, before.revision + 2)
      assert.isBelow(back.cursor! - (yield* now), 60_001)
      assert.deepEqual(yield* viewOf(other), other)
      yield* put(calendarOf(namespace, { holidays: [] }))
      assert.deepEqual(yield* viewOf(before), back, "an equal calendar moves nothing")
    }))

  it.effect("C4 followed: what is due and has no record yet is not passed over", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const view = yield* schedule(minutely(namespace))
      yield* elapse(Duration.minutes(5))
      const due = yield* viewOf(view)
      yield* put(calendarOf(namespace, { holidays: ["2031-10-01"] }))
      assert.strictEqual((yield* viewOf(view)).cursor, due.cursor)
    }))

  it.effect("C4 followed, T5: changed while the clock is set back, it goes to no recorded slot", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const view = yield* schedule(minutely(namespace))
      yield* elapse(Duration.minutes(5))
      const slot = view.cursor! + 3 * 60_000
      const item = {
        trigger: view.id,
        revision: view.revision,
        passed: undefined,
        fire: { slot, spec: specOf(namespace) },
        next: slot + 60_000,
      }
      assert.strictEqual((yield* triggers.fire([item]))[0]?._tag, "Fired")
      yield* elapse(Duration.minutes(-10))
      yield* put(calendarOf(namespace, { holidays: ["2031-10-01"] }))
      assert.strictEqual((yield* viewOf(view)).cursor, slot + 60_000)
      const [version] = yield* triggers.versions(view.id, 1)
      assert.strictEqual(version?.since, slot + 1)
      yield* elapse(Duration.minutes(10))
    }))

  it.effect("C4 followed: what was decided by the old calendar is stale", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const { definition } = yield* schedule(minutely(namespace))
      yield* elapse(Duration.minutes(2))
      const { cursor, id, revision } = Option.getOrThrow(
        yield* triggers.find(namespace, definition.name),
      )
      const item = {
        trigger: id,
        revision,
        passed: undefined,
        fire: { slot: cursor!, spec: specOf(namespace) },
        next: cursor! + 60_000,
      }
      yield* put(calendarOf(namespace, { holidays: ["2031-10-01"] }))
      assert.deepEqual(yield* triggers.fire([item]), [{ _tag: "Stale" }])
      const [fired] = yield* triggers.fire([{ ...item, revision: revision + 1 }])
      assert.strictEqual(fired?._tag, "Fired")
    }))

  it.effect("C4 followed: changed while its triggers are put, all end up by the last one", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      yield* put(calendarOf(namespace))
      const free = soonFree(yield* now)
      yield* together([
        ...times(6).map((n) => Effect.asVoid(schedule(minutely(namespace, `nr-${n}`)))),
        Effect.asVoid(put(calendarOf(namespace, { holidays: free }))),
        ...times(6).map((n) => Effect.asVoid(schedule(minutely(namespace, `nr-${n + 6}`)))),
      ])
      for (const { cursor } of yield* triggers.list(namespace)) {
        assert.notInclude(free, dateAt(cursor!))
      }
    }))

  it.effect("T7 known calendar: a trigger that names none that is kept is refused", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const refused = yield* Effect.flip(schedule(minutely(namespace)))
      assert.strictEqual(refused._tag, "Refused")
      assert.include(refused.message, "office")
      assert.deepEqual(yield* triggers.list(namespace), [])
      const other = freshNamespace()
      yield* put(calendarOf(other))
      assert.strictEqual((yield* Effect.flip(schedule(minutely(namespace))))._tag, "Refused")
      yield* put(calendarOf(namespace))
      assert.strictEqual((yield* schedule(minutely(namespace))).revision, 1)
    }))

  it.effect("T7 known calendar: put and resumed, a trigger follows its calendar", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      const free = soonFree(yield* now)
      yield* put(calendarOf(namespace, { holidays: free }))
      const { cursor, definition } = yield* schedule(minutely(namespace))
      assert.notInclude(free, dateAt(cursor!))
      yield* triggers.pause(namespace, definition.name, true)
      const resumed = yield* triggers.pause(namespace, definition.name, false)
      assert.strictEqual(Option.getOrThrow(resumed).cursor, cursor)
    }))
}

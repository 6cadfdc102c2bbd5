/**
 * The laws of `TriggerStorage`, as tests. T7 is with the calendars, in `CalendarStorageContract`.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                  |
 * | --- | -------------------------------------------------------- |
 * | T1  | no uniqueness at all; single slots only, no stretches    |
 * | T2  | run without record; record without run; run without slot |
 * |     | by a run: what was asked for, or removed, is overlooked; |
 * |     | the record of what was coalesced into it is taken        |
 * | T3  | fires whenever asked                                     |
 * | T4  | revision ignored; paused ones fire                       |
 * | T5  | cursor set by whoever comes last; what lies behind fires |
 * |     | a stretch that begins behind moves it; one comes back    |
 * | T6  | one refusal refuses the rest of the call                 |
 * | T19 | limit, or what it comes after, ignored; sorted as words  |
 *
 * T10 to T15, T18 and T20 are in `triggers/`, each with its table.
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import * as Trigger from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import type { Firing, TriggerView } from "../services/TriggerStorage.ts"
import { ahead } from "./triggers/ahead.ts"
import { asked } from "./triggers/asked.ts"
import { turned } from "./triggers/turned.ts"
import { whileRunning } from "./triggers/whileRunning.ts"
import {
  apart,
  definitionOf,
  fire,
  fireOne,
  firing,
  put,
  recordsOf,
  runsOf,
  second,
  viewOf,
} from "./triggers/triggers.ts"
import {
  block,
  type Elapse,
  expireAll,
  found,
  fresh,
  freshNamespace,
  gateOf,
  greet,
  type Options,
  sorted,
  specOf,
  submitOne,
  type Tests,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`TriggerStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  kept(it, elapse)
  unique(it, elapse)
  whole(it, elapse)
  current(it, elapse)
  due(it, elapse)
  ahead(it)
  turned(it, elapse)
  asked(it, elapse)
  whileRunning(it, elapse)

  /** A new trigger whose first slot, and the `slots` after it, are due. */
  function dueTrigger(namespace: Namespace, slots = 0) {
    return Effect.gen(function* () {
      const view = yield* put(definitionOf(namespace))
      yield* elapse(Duration.millis((slots + 1) * apart + 2 * second))
      return yield* viewOf(view)
    })
  }

  function unique(it: Tests<Storage | R>, _elapse: Elapse<R>): void {
    it.effect("T1 unique slot: a slot fires once, and says so", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const fired = yield* fireOne(firing(view))
        if (fired._tag !== "Fired") return assert.fail(fired._tag)
        assert.isAtLeast(fired.latenessMillis, 0)
        assert.deepEqual(yield* fireOne(firing(view)), { _tag: "Already" })
        const run = yield* found(fired.run)
        assert.deepInclude(run, { state: "Ready", trigger: view.definition.name, task: greet })
        assert.strictEqual(DateTime.toEpochMillis(run.slot!), view.cursor)
        assert.deepEqual(yield* recordsOf(view), [{
          slot: view.cursor!,
          through: view.cursor!,
          outcome: "fired",
          run: fired.run,
          latenessMillis: fired.latenessMillis,
          revision: view.revision,
        }])
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
      }))

    it.effect("T1 unique slot: fired by many at once it fires once", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 4)
        for (const ahead of times(5)) {
          const answers = yield* together(times(8).map(() => fireOne(firing(view, ahead))))
          assert.deepStrictEqual(
            sorted(answers.map(({ _tag }) => _tag)),
            ["Already", "Already", "Already", "Already", "Already", "Already", "Already", "Fired"],
          )
        }
        assert.strictEqual((yield* runsOf(namespace)).length, 5)
        assert.strictEqual((yield* recordsOf(view)).length, 5)
        assert.strictEqual((yield* viewOf(view)).cursor, view.cursor! + 5 * apart)
      }))

    it.effect("T1 unique slot: twice in one call it fires once", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const answers = yield* fire(firing(view), firing(view))
        assert.deepStrictEqual(sorted(answers.map(({ _tag }) => _tag)), ["Already", "Fired"])
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
      }))

    it.effect("T1 unique slot: a stretch that was passed by does not fire any more", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 3)
        const from = view.cursor!
        const stretch = { from, through: from + 2 * apart, outcome: "skipped" as const }
        const skipping: Firing = { ...firing(view, 2), passed: stretch, fire: undefined }
        assert.deepEqual(yield* fireOne(skipping), { _tag: "Recorded" })
        for (const ahead of [0, 2]) {
          assert.deepEqual(yield* fireOne(firing(view, ahead)), { _tag: "Already" })
        }
        assert.deepEqual(yield* fireOne(skipping), { _tag: "Already" })
        assert.strictEqual((yield* fireOne(firing(view, 3)))._tag, "Fired")
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
        assert.strictEqual((yield* recordsOf(view)).length, 2)
      }))

    it.effect("T1 unique slot: a stretch that covers a fired slot does nothing", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 3)
        yield* fireOne(firing(view))
        const from = view.cursor!
        const late: Firing = {
          ...firing(view, 3),
          passed: { from, through: from + 2 * apart, outcome: "coalesced" },
        }
        assert.deepEqual(yield* fireOne(late), { _tag: "Already" })
        assert.strictEqual((yield* runsOf(namespace)).length, 1, "nor does the slot after it fire")
        assert.strictEqual((yield* recordsOf(view)).length, 1)
      }))

    it.effect("T1 unique slot: stretches that race are recorded once", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 5)
        const from = view.cursor!
        const answers = yield* together(
          times(8).map((n) =>
            fireOne({
              ...firing(view, 5),
              passed: { from, through: from + 4 * apart, outcome: "coalesced" },
              ...(n % 2 && { fire: undefined, next: from + 5 * apart }),
            })
          ),
        )
        const done = answers.filter(({ _tag }) => _tag !== "Already")
        assert.strictEqual(done.length, 1)
        const isFired = done[0]!._tag === "Fired"
        assert.strictEqual((yield* recordsOf(view)).length, isFired ? 2 : 1)
        assert.strictEqual((yield* runsOf(namespace)).length, isFired ? 1 : 0)
      }))

    it.effect("T1 unique slot: a slot stays recorded when its trigger is defined anew", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        yield* fireOne(firing(view))
        const slot = view.cursor!
        const anew = yield* put(definitionOf(namespace, { payload: "2" }))
        const again: Firing = {
          ...firing(view),
          revision: anew.revision,
          fire: { slot, spec: specOf(namespace) },
        }
        assert.deepEqual(yield* fireOne(again), { _tag: "Already" })
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
      }))
  }

  function whole(it: Tests<Storage | R>, elapse: Elapse<R>): void {
    it.effect("T2 together: a record names its run, and the run its slot", () =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 6)
        const from = view.cursor!
        const items: ReadonlyArray<Firing> = [
          firing(view),
          {
            ...firing(view, 4),
            passed: { from: from + apart, through: from + 3 * apart, outcome: "coalesced" },
          },
          {
            ...firing(view, 5),
            fire: undefined,
            passed: {
              from: from + 5 * apart,
              through: from + 5 * apart,
              outcome: "skipped",
            },
          },
          firing(view, 6),
        ]
        for (const item of items) yield* fireOne(item)
        const records = yield* recordsOf(view)
        assert.deepStrictEqual(
          records.toSorted((a, b) => a.slot - b.slot).map(({ outcome }) => outcome),
          ["fired", "coalesced", "fired", "skipped", "fired"],
        )
        const of = (at: number) => records.find(({ slot }) => slot === from + at * apart)!
        assert.deepInclude(of(1), { through: from + 3 * apart, run: of(4).run! })
        assert.isUndefined(of(5).run)
        assert.isString(of(5).reason, "what is skipped says why")
        const runs = yield* runsOf(namespace)
        assert.deepStrictEqual(
          sorted(runs.map(({ id }) => id)),
          sorted([of(0), of(4), of(6)].map(({ run }) => run as RunId)),
        )
        for (const run of runs) {
          const { slot } = records.find((record) =>
            record.outcome === "fired" && record.run === run.id
          )!
          assert.strictEqual(DateTime.toEpochMillis(run.slot!), slot)
        }
        for (const at of [0, 4, 6]) {
          const { run, slot } = of(at)
          const record = Option.getOrThrow(yield* triggers.recordOf(run!))
          assert.deepInclude(record, { slot, outcome: "fired" })
        }
        const latest = yield* recordsOf(view, 2)
        assert.deepStrictEqual(latest.map(({ slot }) => slot), [from + 6 * apart, from + 5 * apart])
      }))

    it.effect("T2 together: by a run its record is found, with the revision that it was fired by", () =>
      Effect.gen(function* () {
        const { runs, triggers } = yield* Storage
        const namespace = freshNamespace()
        const first = yield* dueTrigger(namespace, 3)
        const recordOf = Effect.fnUntraced(function* (run: RunId) {
          return Option.getOrThrow(yield* triggers.recordOf(run))
        })
        const fired = yield* fireOne(firing(first))
        assert(fired._tag === "Fired")
        const before = yield* recordOf(fired.run)
        assert.deepInclude(before, { slot: first.cursor!, outcome: "fired", revision: 1 })
        assert.deepInclude(before, { run: fired.run })
        const view = yield* put(definitionOf(namespace, { payload: '"other"' }))
        const next = yield* fireOne(firing(view, 0))
        assert(next._tag === "Fired")
        assert.strictEqual((yield* recordOf(next.run)).revision, 2)
        const given = Option.getOrThrow(yield* runs.find(next.run))
        assert.strictEqual(given.payload, firing(view).fire!.spec.payload)
        const [asked] = yield* triggers.ask([{
          trigger: view.id,
          revision: 2,
          kind: "manual",
          request: "now",
          by: "Ada",
          slot: undefined,
          spec: specOf(namespace),
        }], false)
        assert(asked?._tag === "Fired")
        assert.deepInclude(yield* recordOf(asked.run), { outcome: "fired", revision: 2 })
        assert.deepStrictEqual((yield* recordOf(asked.run)).asked, {
          kind: "manual",
          request: "now",
          by: "Ada",
        })
        // Told of as it was fired, whatever has become of the trigger.
        yield* triggers.remove(namespace, view.definition.name)
        assert.strictEqual((yield* recordOf(fired.run)).revision, 1)
        const other = yield* submitOne(specOf(namespace))
        assert.isTrue(Option.isNone(yield* triggers.recordOf(other)))
      }))

    it.effect("T2 together: a grant names the slot", () =>
      Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        yield* fireOne(firing(view))
        const incarnation = yield* executors.join({
          namespace,
          name: fresh("executor") as never,
          capacity: 1,
          labels: {},
          ttlMillis: 60_000,
        })
        const claimed = yield* runs.claim({
          incarnation,
          loop: 0,
          round: 1,
          isAgain: false,
          lanes: [specOf(namespace).lane],
          limit: 1,
          reports: [],
        })
        if (claimed === "Lost") return assert.fail("lost")
        assert.strictEqual(claimed.grants[0]?.slot, view.cursor)
      }))

    for (const [where, more] of [["ready", {}], ["due later", { delayMillis: 1000 }]] as const) {
      it.effect(`T2 together: a run of a slot, ${where}, has its deadline like any other`, () =>
        Effect.gen(function* () {
          const namespace = freshNamespace()
          const [view, other] = [yield* dueTrigger(namespace), yield* dueTrigger(freshNamespace())]
          const item = firing(view)
          const spec = specOf(namespace, { ...more, deadlineMillis: 60_000 })
          const [fired, plain] = yield* fire(
            { ...item, fire: { slot: item.fire!.slot, spec } },
            firing(other),
          )
          if (fired?._tag !== "Fired") return yield* Effect.die("it has not fired")
          assert.strictEqual(plain?._tag, "Fired")
          yield* elapse(Duration.seconds(30))
          yield* expireAll
          assert.notStrictEqual((yield* found(fired.run)).state, "Expired")
          yield* elapse(Duration.seconds(40))
          yield* expireAll
          assert.strictEqual((yield* found(fired.run)).state, "Expired")
          if (plain?._tag === "Fired") {
            assert.strictEqual((yield* found(plain.run)).state, "Ready")
          }
        }))
    }

    it.effect("T2 together: a run of a slot goes by its deadline, and its start is marked", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const item = firing(view)
        const spec = specOf(namespace, { deadlineMillis: 40_000 })
        yield* submitOne(specOf(namespace))
        yield* fireOne({ ...item, fire: { slot: item.fire!.slot, spec } })
        const { runs } = yield* Storage
        const { executors } = yield* Storage
        const incarnation = yield* executors.join({
          namespace,
          name: fresh("executor") as never,
          capacity: 1,
          labels: {},
          ttlMillis: 600_000,
        })
        const claimed = yield* runs.claim({
          incarnation,
          loop: 0,
          round: 1,
          isAgain: false,
          lanes: [spec.lane],
          limit: 1,
          reports: [],
        })
        assert.isTrue(claimed !== "Lost" && claimed.grants[0]?.isCareful)
      }))

    it.effect("T2 together: a gated run of a slot is blocked like any other", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const gate = gateOf(namespace, 1)
        const item = firing(view)
        const spec = specOf(namespace, { gate, isAtMostOnce: true, crashesMax: 0, level: 0 })
        const fired = yield* fireOne({ ...item, fire: { slot: item.fire!.slot, spec } })
        if (fired._tag !== "Fired") return assert.fail(fired._tag)
        assert.deepInclude(yield* found(fired.run), { state: "Blocked", gate: gate.key, level: 0 })
        assert.deepEqual(yield* runs.admit([gate.key]), [{ run: fired.run, state: "Ready" }])
      }))

    it.effect("T3 not early: a slot to come is answered with the time that remains", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* put(definitionOf(namespace))
        const early = yield* fireOne(firing(view))
        if (early._tag !== "NotDue") return assert.fail(early._tag)
        assert.isAtLeast(early.remainingMillis, 1)
        assert.isAtMost(early.remainingMillis, apart)
        assert.strictEqual((yield* viewOf(view)).cursor, view.cursor)
        assert.deepEqual(yield* recordsOf(view), [])
        assert.deepEqual(yield* runsOf(namespace), [])
        yield* elapse(Duration.millis(apart + second))
        const now = yield* viewOf(view)
        assert.strictEqual((yield* fireOne(firing(now)))._tag, "Fired")
        assert.strictEqual((yield* fireOne(firing(now, 1)))._tag, "NotDue")
      }))

    it.effect("T3 not early: a stretch to come is not recorded", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const from = view.cursor!
        const answer = yield* fireOne({
          ...firing(view, 3),
          fire: undefined,
          passed: { from, through: from + 3 * apart, outcome: "skipped" },
        })
        assert.strictEqual(answer._tag, "NotDue")
        assert.deepEqual(yield* recordsOf(view), [])
      }))
  }

  function current(it: Tests<Storage | R>, _elapse: Elapse<R>): void {
    it.effect("T4 current: an item of an older or unknown revision is stale", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 1)
        const anew = yield* put(definitionOf(namespace, { payload: '"other"' }))
        assert.strictEqual(anew.revision, view.revision + 1)
        assert.deepEqual(yield* fireOne(firing(view)), { _tag: "Stale" })
        const future = { ...firing(view), revision: anew.revision + 1 }
        assert.deepEqual(yield* fireOne(future), { _tag: "Stale" })
        assert.deepEqual(yield* runsOf(namespace), [])
        assert.deepEqual(yield* recordsOf(view), [])
      }))

    it.effect("T4 current: a paused trigger does not fire, and goes on after now", () =>
      Effect.gen(function* () {
        const { now, triggers } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const { name } = view.definition
        const paused = Option.getOrThrow(yield* triggers.pause(namespace, name, true))
        assert.isTrue(paused.isPaused)
        assert.deepEqual(yield* fireOne(firing(view)), { _tag: "Stale" })
        assert.isTrue((yield* viewOf(view)).isPaused)
        const resumed = Option.getOrThrow(yield* triggers.pause(namespace, name, false))
        assert.isFalse(resumed.isPaused)
        assert.isAbove(resumed.cursor!, yield* now)
        assert.deepEqual(yield* runsOf(namespace), [])
      }))

    it.effect("T4 current: a removed trigger is stale and not found, its records stay", () =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 1)
        const { name } = view.definition
        yield* fireOne(firing(view))
        assert.isTrue(yield* triggers.remove(namespace, name))
        assert.isFalse(yield* triggers.remove(namespace, name))
        assert.deepEqual(yield* fireOne(firing(view, 1)), { _tag: "Stale" })
        assert.isTrue(Option.isNone(yield* triggers.find(namespace, name)))
        assert.isTrue(Option.isNone(yield* triggers.pause(namespace, name, true)))
        assert.deepEqual(yield* triggers.list(namespace), [])
        const [removed, fired] = yield* recordsOf(view)
        assert.deepInclude(removed, { outcome: "skipped", reason: "removed" })
        assert.deepInclude(fired, { outcome: "fired", slot: view.cursor! })
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
      }))

    it.effect("T4 current: an unknown trigger is stale", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const unknown = { ...firing(view), trigger: Trigger.TriggerId.make(2_000_000_000) }
        assert.deepEqual(yield* fireOne(unknown), { _tag: "Stale" })
      }))

    it.effect("T5 onward: the cursor follows the items, and does not move back", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 3)
        for (const ahead of [0, 1]) yield* fireOne(firing(view, ahead))
        assert.strictEqual((yield* viewOf(view)).cursor, view.cursor! + 2 * apart)
        // A second planner is a slot behind.
        assert.deepEqual(yield* fireOne(firing(view)), { _tag: "Already" })
        assert.strictEqual((yield* viewOf(view)).cursor, view.cursor! + 2 * apart)
      }))

    it.effect("T5 onward: what lies before the cursor does not fire, though nothing is recorded", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 3)
        const from = view.cursor!
        assert.strictEqual((yield* fireOne(firing(view, 2)))._tag, "Fired")
        for (const ahead of [0, 1]) {
          assert.deepEqual(yield* fireOne(firing(view, ahead)), { _tag: "Already" })
        }
        const stretch = { from, through: from + apart, outcome: "skipped" as const }
        const late: Firing = { ...firing(view, 3), passed: stretch }
        assert.deepEqual(yield* fireOne(late), { _tag: "Already" })
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
        assert.strictEqual((yield* recordsOf(view)).length, 1)
      }))

    it.effect("T5 onward: who comes late with a stretch moves the cursor over nothing", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 3)
        const from = view.cursor!
        yield* fireOne(firing(view))
        const stretch = { from, through: from + 2 * apart, outcome: "skipped" as const }
        for (const late of [firing(view, 3), { ...firing(view, 2), fire: undefined }]) {
          assert.deepEqual(yield* fireOne({ ...late, passed: stretch }), { _tag: "Already" })
          assert.strictEqual((yield* viewOf(view)).cursor, from + apart)
        }
        for (const ahead of [1, 2, 3]) {
          assert.strictEqual((yield* fireOne(firing(view, ahead)))._tag, "Fired")
        }
      }))

    it.effect("T5 onward: who comes late to a trigger without slots brings none back", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace, 1)
        yield* fireOne({ ...firing(view, 1), next: undefined })
        assert.deepEqual(yield* fireOne(firing(view)), { _tag: "Already" })
        assert.isUndefined((yield* viewOf(view)).cursor)
      }))

    it.effect("T5 onward: firing the last slot leaves no cursor", () =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* dueTrigger(namespace)
        const last = yield* fireOne({ ...firing(view), next: undefined })
        assert.strictEqual(last._tag, "Fired")
        assert.isUndefined((yield* viewOf(view)).cursor)
        const partition = Trigger.partitionOf(namespace, view.definition.name)
        const { triggers: due } = yield* triggers.due([partition], 366 * 86_400_000, 100_000)
        assert.notInclude(due.map(({ id }) => id), view.id)
      }))

    it.effect("T5 onward: many planners take a trigger through all its slots", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const slots = 12
        const view = yield* dueTrigger(namespace, slots - 1)
        yield* together(
          times(4).map(() =>
            Effect.gen(function* () {
              for (;;) {
                const { cursor } = yield* viewOf(view)
                const ahead = (cursor! - view.cursor!) / apart
                assert.isTrue(Number.isInteger(ahead))
                if (ahead >= slots) return
                yield* fireOne(firing(view, ahead))
              }
            })
          ),
        )
        const records = yield* recordsOf(view)
        assert.deepStrictEqual(
          records.map(({ slot }) => slot),
          times(slots).map((n) => view.cursor! + n * apart).reverse(),
        )
        assert.strictEqual((yield* runsOf(namespace)).length, slots)
      }))

    it.effect("T6 each for itself: one item's refusal leaves the others alone", () =>
      Effect.gen(function* () {
        const [a, b, c, d] = times(4).map(() => freshNamespace())
        const paused = yield* put(definitionOf(b!))
        const views = [yield* dueTrigger(a!), yield* dueTrigger(c!)]
        const early = yield* put(definitionOf(d!))
        yield* fireOne(firing(views[0]!))
        const { triggers } = yield* Storage
        yield* triggers.pause(b!, paused.definition.name, true)
        const fifth = yield* dueTrigger(freshNamespace())
        const now = yield* Effect.all([viewOf(paused), viewOf(views[1]!)])
        const answers = yield* fire(
          { ...firing(early), fire: { slot: Number.MAX_SAFE_INTEGER / 2, spec: specOf(d!) } },
          firing(now[1]!),
          { ...firing(fifth), revision: 99 },
          { ...firing(now[1]!), trigger: paused.id },
          firing(now[1]!),
          firing(fifth),
        )
        assert.deepStrictEqual(
          answers.map(({ _tag }) => _tag),
          ["NotDue", "Fired", "Stale", "Stale", "Already", "Fired"],
        )
        assert.strictEqual((yield* runsOf(c!)).length, 1)
        assert.strictEqual((yield* runsOf(fifth.definition.namespace)).length, 1)
      }))

    it.effect("T6 each for itself: many triggers of one instant fire in one call", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const names = times(40).map((n) => Trigger.TriggerName.make(`nr-${n}`))
        for (const name of names) yield* put(definitionOf(namespace, { name }))
        yield* elapse(Duration.millis(apart + 2 * second))
        const { triggers } = yield* Storage
        const views = yield* triggers.list(namespace)
        const answers = yield* fire(...views.map((view) => firing(view)))
        assert.isTrue(answers.every(({ _tag }) => _tag === "Fired"))
        const runs = yield* runsOf(namespace)
        assert.deepStrictEqual(sorted(runs.map(({ trigger }) => trigger!)), sorted(names))
        // Answers are in the order of the items.
        for (const [at, answer] of answers.entries()) {
          if (answer._tag !== "Fired") continue
          assert.strictEqual(
            runs.find(({ id }) => id === answer.run)!.trigger,
            views[at]!.definition.name,
          )
        }
      }))
  }
}

const kept = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("put: an equal definition changes nothing, another one raises the revision", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace))
      assert.deepInclude(first, { revision: 1, isPaused: false })
      assert.isAbove(first.cursor!, yield* now)
      assert.isAtMost(first.cursor!, (yield* now) + apart)
      yield* elapse(Duration.millis(3 * apart + second))
      const kept = yield* viewOf(first)
      assert.deepEqual(yield* put(definitionOf(namespace)), kept, "the cursor stays where it is")
      const anew = yield* put(definitionOf(namespace, { misfire: { _tag: "All", max: 3 } }))
      assert.deepInclude(anew, { id: first.id, revision: 2 })
      assert.deepEqual(anew.definition.misfire, { _tag: "All", max: 3 })
      assert.strictEqual(anew.cursor, kept.cursor, "what is due stays due")
      assert.deepEqual(yield* viewOf(first), anew)
      assert.deepEqual(yield* triggers.list(namespace), [anew])
    }))

  it.effect("put: every field is kept, and told from another", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const cron = {
        _tag: "Cron" as const,
        expression: "0 30 7 L * MON-FRI",
        zone: "Europe/Berlin",
      }
      const changes: ReadonlyArray<Partial<Trigger.TriggerDefinition>> = [
        { schedule: cron },
        { schedule: { ...cron, zone: "Asia/Tokyo" } },
        { schedule: { _tag: "At", at: Date.UTC(2400, 0, 1) } },
        { schedule: { _tag: "Every", millis: 60_000, anchor: 1234 } },
        { payload: '{"a":1e400,"b":"\\u0000"}' },
        { schedule: { ...cron, gap: "skip", overlap: "both" } },
        { schedule: { ...cron, start: 1234, end: Date.UTC(2400, 0, 1), jitterMillis: 5000 } },
        { misfire: { _tag: "Skip" } },
        { misfire: { _tag: "All", max: 3, maxAgeMillis: 3_600_000 } },
        { graceMillis: 5000 },
        { blockingKey: "customer/1" },
        { task: "other" as never },
      ]
      for (const [at, change] of changes.entries()) {
        const definition = definitionOf(namespace, change)
        const view = yield* put(definition)
        assert.strictEqual(view.revision, at + 1)
        if (definition.schedule._tag !== "Every" || definition.schedule.anchor !== undefined) {
          assert.deepEqual(view.definition, definition)
        }
        assert.deepEqual(yield* viewOf(view), view)
        assert.strictEqual((yield* put(definition)).revision, at + 1)
      }
    }))

  it.effect("put: a trigger with no slot to come has no cursor", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const namespace = freshNamespace()
      const at = (yield* now) - 5000
      const view = yield* put(definitionOf(namespace, { schedule: { _tag: "At", at } }))
      assert.isUndefined(view.cursor)
      assert.isUndefined((yield* viewOf(view)).cursor)
    }))

  it.effect("list: by name, of one namespace", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      for (const name of ["b", "a", "c"]) {
        yield* put(definitionOf(namespace, { name: name as never }))
      }
      yield* put(definitionOf(other, { name: "d" as never }))
      assert.deepEqual(
        (yield* triggers.list(namespace)).map(({ definition }) => definition.name as string),
        ["a", "b", "c"],
      )
    }))

  it.effect("T19 page by page: each after the one before has all that stays, once", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      // Names in an order that is neither that of words nor that in which they were put.
      const names = ["b/2", "B", "a-b", "b", "a", "b/10", "a.b"]
      for (const name of names) yield* put(definitionOf(namespace, { name: name as never }))
      yield* put(definitionOf(other, { name: "aa" as never }))
      const page = (after?: string, limit?: number) =>
        Effect.map(
          triggers.list(namespace, { after, limit }),
          (views) => views.map(({ definition }): string => definition.name),
        )
      const sorted = names.toSorted((a, b) => a < b ? -1 : 1)
      assert.deepEqual(yield* page(), sorted)
      assert.deepEqual(yield* page(undefined, 3), sorted.slice(0, 3))
      assert.deepEqual(yield* page("a-b"), sorted.slice(sorted.indexOf("a-b") + 1))
      assert.deepEqual(yield* page(sorted.at(-1)), [])
      assert.deepEqual(yield* page(undefined, 0), [])
      const seen: Array<string> = []
      for (;;) {
        const found = yield* page(seen.at(-1), 2)
        seen.push(...found)
        const after = found.at(-1)
        if (after === undefined) break
        // What goes, or comes before, moves nothing that is yet to be seen.
        if (after === sorted[1]) {
          yield* triggers.remove(namespace, after as never)
          yield* put(definitionOf(namespace, { name: "A" as never }))
        }
      }
      assert.deepEqual(seen, sorted)
    }))
}

const due = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("due: the earliest first, of these partitions, within the time, unless paused", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      const inMillis = [50, 20, 80, 35].map((seconds) => seconds * second)
      const start = yield* now
      const views: Array<TriggerView> = []
      for (const [n, millis] of inMillis.entries()) {
        const name = Trigger.TriggerName.make(`nr-${n}`)
        const schedule = { _tag: "At" as const, at: start + millis }
        views.push(yield* put(definitionOf(namespace, { name, schedule })))
      }
      const all = times(Trigger.partitions)
      const mine = (partitions: ReadonlyArray<number>, withinMillis: number, limit = 100_000) =>
        Effect.map(triggers.due(partitions, withinMillis, limit), (answer) => ({
          now: answer.now,
          ids: answer.triggers.map(({ id }) => id)
            .filter((id) => views.some((view) => view.id === id)),
          all: answer.triggers,
        }))
      const of = (...at: ReadonlyArray<number>) => at.map((n) => views[n]!.id)
      const wide = yield* mine(all, 100 * second)
      assert.deepStrictEqual(wide.ids, of(1, 3, 0, 2))
      assert.isAtLeast(wide.now, start)
      assert.isAtMost(wide.now, yield* now)
      const cursors = wide.all.map(({ cursor }) => cursor!)
      assert.deepStrictEqual(cursors, sorted(cursors))
      assert.deepStrictEqual((yield* mine(all, 40 * second)).ids, of(1, 3))
      assert.deepStrictEqual((yield* mine(all, 10 * second)).ids, [])
      assert.deepStrictEqual((yield* mine([], 100 * second)).ids, [])
      assert.isAtMost((yield* mine(all, 100 * second, 2)).all.length, 2)
      const partition = Trigger.partitionOf(namespace, views[1]!.definition.name)
      assert.include((yield* mine([partition], 100 * second)).ids, views[1]!.id)
      const others = all.filter((each) => each !== partition)
      assert.notInclude((yield* mine(others, 100 * second)).ids, views[1]!.id)
      yield* triggers.pause(namespace, views[1]!.definition.name, true)
      assert.deepStrictEqual((yield* mine(all, 100 * second)).ids, of(3, 0, 2))
      yield* elapse(Duration.seconds(60))
      assert.deepStrictEqual((yield* mine(all, 0)).ids, of(3, 0))
      yield* triggers.remove(namespace, views[3]!.definition.name)
      assert.deepStrictEqual((yield* mine(all, 0)).ids, of(0))
    }))

  it.effect("due: views are whole, and can be fired as they are", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const put1 = yield* put(definitionOf(namespace))
      yield* elapse(Duration.millis(apart + 2 * second))
      const partition = Trigger.partitionOf(namespace, put1.definition.name)
      const { triggers: found } = yield* triggers.due([partition], 0, 100_000)
      const view = found.find(({ id }) => id === put1.id)!
      assert.deepEqual(view, yield* viewOf(put1))
      assert.strictEqual((yield* fireOne(firing(view)))._tag, "Fired")
    }))
}

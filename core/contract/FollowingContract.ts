/**
 * The laws of triggers that follow a task, T8 and T9 of `TriggerStorage`, as tests; and what other laws
 * come to for them.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                               |
 * | --- | --------------------------------------------------------------------- |
 * | T8  | the event stays; no record; paused ones fire; the revision is ignored |
 * |     | the event of another trigger is taken; put otherwise, it follows on   |
 * | T9  | no bound                                                              |
 * | T11 | subscribed before the revision is compared                            |
 * | T14 | runs that followed another are not looked at                          |
 * | H6  | what nobody fired is not recorded; records stay for ever              |
 *
 * On PostgreSQL: the event of another trigger is taken, put otherwise it follows on (T8), no bound
 * (T9), what nobody fired is not recorded (H6).
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import * as Following from "../domain/Following.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Outbox from "../domain/Outbox.ts"
import type { RunId } from "../domain/RunId.ts"
import * as Trigger from "../domain/Trigger.ts"
import type { OutboxEvent } from "../services/OutboxStorage.ts"
import { Storage } from "../services/Storage.ts"
import type { Follow, TriggerView } from "../services/TriggerStorage.ts"
import { retireAll } from "./HistoryStorageContract.ts"
import { firing } from "./triggers/byEvent.ts"
import { put, recordsOf } from "./triggers/triggers.ts"
import {
  block,
  cancelled,
  type Elapse,
  found,
  freshNamespace,
  giveUp,
  greet,
  joined,
  type Options,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`Following, ${adapter}`, layer, options, (it) => laws(it, elapse))

const { definitionOf, lane, runsOf, specOfRun, task, waitAsOthers } = firing({
  name: "behind",
  task: "next",
  schedule: { _tag: "After", task: greet, on: ["Succeeded"] },
  payload: '{"n":1}',
})

let takers = 0

/** The events of one namespace; the others' stay with their tests for the blink of an eye. */
const eventsOf = (
  namespace: Namespace,
  name = "behind",
  forMillis = 0,
): Effect.Effect<ReadonlyArray<OutboxEvent>, unknown, Storage> =>
  Effect.map(
    Storage.use(({ outbox }) =>
      outbox.take({
        consumer: Outbox.triggers,
        partitions: [Outbox.partition({ namespace, name })],
        limit: 1000,
        forMillis,
        taker: ++takers,
        round: 1,
      })
    ),
    (events) => events.filter((event) => event.namespace === namespace && event.name === name),
  )

const following = (
  { definition, id, revision }: TriggerView,
  event: OutboxEvent,
  fire: Follow["fire"] = specOfRun(definition.namespace, { payload: '{"n":1}' }),
): Follow => ({ event: event.event, trigger: id, revision, fire })

const followAll = (...items: ReadonlyArray<Follow>) =>
  Storage.use(({ triggers }) => triggers.follow(items))

/** Runs of the task that is followed, that have succeeded. */
const succeeded = (namespace: Namespace, count = 1) =>
  Effect.gen(function* () {
    const hand = yield* joined(namespace)
    const runs = yield* submitAll(times(count).map(() => specOf(namespace)))
    const { grants } = yield* hand.claim(count)
    yield* hand.settle(...grants.map((grant) => succeed(grant, '{"n":2}')))
    return runs
  })

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("put: a trigger that follows is kept, has no slot of its own, and is never due", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const schedules: ReadonlyArray<Trigger.Schedule> = [
        { _tag: "After", task: greet, on: ["Succeeded"] },
        { _tag: "After", task: greet, on: ["Failed", "TimedOut"], passing: "event" },
        {
          _tag: "After",
          task: greet,
          on: ["Succeeded"],
          when: [{ at: "/n", is: "at least", to: 3 }, { at: "/e", is: "absent" }],
          passing: "result",
        },
      ]
      for (const [at, schedule] of schedules.entries()) {
        const view = yield* put(definitionOf(namespace, { schedule }))
        assert.strictEqual(view.revision, at + 1)
        assert.isUndefined(view.cursor)
        assert.deepEqual(view.definition.schedule, schedule)
        assert.deepEqual(yield* put(definitionOf(namespace, { schedule })), view)
        const known = yield* triggers.find(namespace, view.definition.name)
        assert.deepEqual(Option.getOrThrow(known), view)
      }
    }))

  it.effect("T8 each event once: it makes a run that names the run it follows", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const [first] = yield* succeeded(namespace)
      const [event] = yield* eventsOf(namespace)
      assert.deepInclude(event!, { run: first!, task: greet, state: "Succeeded", name: "behind" })
      const [answer] = yield* followAll(following(view, event!))
      if (answer?._tag !== "Fired") return assert.fail(answer?._tag)
      const run = yield* found(answer.run)
      assert.deepInclude(run, {
        task,
        state: "Ready",
        trigger: view.definition.name,
        after: first!,
        payload: '{"n":1}',
      })
      const records = yield* recordsOf(view)
      assert.deepEqual(records, [{
        slot: event!.at,
        through: event!.at,
        outcome: "fired",
        run: answer.run,
        after: { run: first!, state: "Succeeded" },
        latenessMillis: records[0]!.latenessMillis,
      }])
      assert.isAtLeast(records[0]!.latenessMillis, 0)
      const record = Option.getOrThrow(
        yield* Storage.use(({ triggers }) => triggers.recordOf(answer.run)),
      )
      assert.deepEqual(record, { ...records[0]!, revision: view.revision })
      assert.strictEqual(DateTime.toEpochMillis(run.slot!), event!.at)
      assert.deepEqual(yield* eventsOf(namespace), [])
      assert.deepEqual(yield* followAll(following(view, event!)), [{ _tag: "Already" }])
      assert.strictEqual((yield* runsOf(namespace)).length, 1)
      assert.isUndefined((yield* found(first!)).after)
    }))

  it.effect("T8 each event once: of many at once one makes the run", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const runs = yield* succeeded(namespace, 5)
      const events = yield* eventsOf(namespace)
      assert.sameMembers(events.map(({ run }) => run), [...runs])
      const answers = yield* together(
        times(6).map(() => followAll(...events.map((event) => following(view, event)))),
      )
      const fired = answers.flat().filter(({ _tag }) => _tag === "Fired")
      assert.strictEqual(fired.length, 5)
      const made = yield* runsOf(namespace)
      assert.sameMembers(made.map(({ after }) => after!), [...runs])
      assert.strictEqual((yield* recordsOf(view)).length, 5)
    }))

  it.effect("T8 each event once: each end of a run that was revived is an event", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const schedule = { _tag: "After", task: greet, on: ["Failed"] } as const
      const view = yield* put(definitionOf(namespace, { schedule }))
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      for (const _ of times(2)) {
        yield* hand.settle(giveUp(yield* hand.one))
        for (const event of yield* eventsOf(namespace)) yield* followAll(following(view, event))
        yield* runs.revive(run)
      }
      assert.deepEqual((yield* runsOf(namespace)).map(({ after }) => after), [run, run])
    }))

  it.effect("T8 each event once: what is not fired is recorded with the reason", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const [run] = yield* succeeded(namespace)
      const [event] = yield* eventsOf(namespace)
      const item = following(view, event!, "not so: /n is 3")
      assert.deepEqual(yield* followAll(item), [{ _tag: "Skipped", reason: "not so: /n is 3" }])
      assert.deepEqual(yield* followAll(following(view, event!)), [{ _tag: "Already" }])
      const [record] = yield* recordsOf(view)
      assert.deepInclude(record!, { outcome: "skipped", reason: "not so: /n is 3" })
      assert.deepEqual(record!.after, { run: run!, state: "Succeeded" })
      assert.isUndefined(record!.run)
      assert.deepEqual(yield* runsOf(namespace), [])
    }))

  it.effect("T8 each event once: while its trigger is paused it is recorded and not fired", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const { definition: { name } } = yield* put(definitionOf(namespace))
      const paused = Option.getOrThrow(yield* triggers.pause(namespace, name, true))
      yield* succeeded(namespace)
      const [event] = yield* eventsOf(namespace)
      const answers = yield* followAll(following(paused, event!))
      assert.deepEqual(answers, [{ _tag: "Skipped", reason: Following.whilePaused }])
      const resumed = Option.getOrThrow(yield* triggers.pause(namespace, name, false))
      assert.isUndefined(resumed.cursor)
      yield* succeeded(namespace)
      const [second] = yield* eventsOf(namespace)
      const [answer] = yield* followAll(following(resumed, second!))
      assert.strictEqual(answer?._tag, "Fired")
      assert.deepEqual(
        (yield* recordsOf(resumed)).map(({ outcome }) => outcome).sort(),
        ["fired", "skipped"],
      )
    }))

  it.effect("T8 each event once: for an older definition it is stale, and stays", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      yield* succeeded(namespace)
      const [event] = yield* eventsOf(namespace)
      const anew = yield* put(definitionOf(namespace, { payload: '{"n":3}' }))
      assert.deepEqual(yield* followAll(following(view, event!)), [{ _tag: "Stale" }])
      assert.strictEqual((yield* eventsOf(namespace)).length, 1)
      assert.deepEqual(yield* recordsOf(view), [])
      const other = yield* put(definitionOf(namespace, { name: "other" as never }))
      assert.deepEqual(yield* followAll(following(other, event!)), [{ _tag: "Already" }])
      assert.strictEqual((yield* eventsOf(namespace)).length, 1)
      assert.isTrue(yield* triggers.remove(namespace, view.definition.name))
      assert.deepEqual(yield* followAll(following(anew, event!)), [{ _tag: "Stale" }])
      assert.deepEqual(yield* eventsOf(namespace), [], "its events went with it")
      assert.deepEqual(yield* runsOf(namespace), [])
    }))

  it.effect("T8 each event once: put otherwise, it follows no more; removed and put, from then", () =>
    Effect.gen(function* () {
      const { outbox, triggers } = yield* Storage
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace))
      yield* put(definitionOf(namespace, { schedule: { _tag: "Every", millis: 60_000 } }))
      assert.deepEqual(yield* outbox.subscriptions(namespace), [])
      yield* succeeded(namespace)
      yield* put(definitionOf(namespace))
      assert.deepEqual(yield* eventsOf(namespace), [])
      yield* triggers.remove(namespace, first.definition.name)
      yield* succeeded(namespace)
      yield* put(definitionOf(namespace))
      const [run] = yield* succeeded(namespace)
      assert.deepEqual((yield* eventsOf(namespace)).map((event) => event.run), [run])
    }))

  const every: Trigger.Schedule = { _tag: "Every", millis: 10_000 }

  it.effect("T11 no lost update: a put that is not done changes no subscription", () =>
    Effect.gen(function* () {
      const { outbox, triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace, { schedule: every }))
      const early = yield* Effect.flip(triggers.put(definitionOf(namespace), 7))
      assert.deepInclude(early, { _tag: "TriggerChanged", revision: view.revision })
      assert.deepEqual(yield* outbox.subscriptions(namespace), [])
      const behind = yield* triggers.put(definitionOf(namespace), view.revision)
      const late = yield* Effect.flip(
        triggers.put(definitionOf(namespace, { schedule: every }), view.revision),
      )
      assert.deepInclude(late, { _tag: "TriggerChanged", revision: behind.revision })
      assert.strictEqual((yield* outbox.subscriptions(namespace)).length, 1)
      assert.isTrue(yield* triggers.remove(namespace, view.definition.name))
      assert.deepEqual(yield* outbox.subscriptions(namespace), [])
      assert.deepEqual(
        (yield* triggers.versions(view.id, 9)).map(({ definition }) => definition?.schedule._tag),
        [undefined, "After", "Every"],
      )
    }))

  it.effect("T14 while running: a run that has followed another counts", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      yield* succeeded(namespace)
      const [event] = yield* eventsOf(namespace)
      const [followed] = yield* followAll(following(view, event!))
      if (followed?._tag !== "Fired") return assert.fail(followed?._tag)
      const ticking = yield* put(definitionOf(namespace, { schedule: every }))
      yield* elapse(Duration.seconds(12))
      const slot = ticking.cursor!
      const [answer] = yield* triggers.fire([{
        trigger: ticking.id,
        revision: ticking.revision,
        passed: undefined,
        fire: { slot, spec: specOfRun(namespace), whileRunning: "skip" },
        next: slot + 10_000,
      }])
      assert.deepEqual(answer, { _tag: "Recorded" })
      const [skipped, fired] = yield* recordsOf(ticking)
      assert.deepInclude(skipped!, { slot, outcome: "skipped", running: followed.run })
      assert.deepInclude(fired!, { outcome: "fired", run: followed.run })
      assert.deepEqual(fired!.after, { run: event!.run, state: "Succeeded" })
    }))

  it.effect("T8 each event once: a gated, delayed or careful run waits as any other", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      yield* waitAsOthers(namespace, elapse, (specs) =>
        Effect.gen(function* () {
          yield* succeeded(namespace, specs.length)
          const events = yield* eventsOf(namespace)
          const answers = yield* followAll(
            ...events.map((event, at) => following(view, event, specs[at])),
          )
          return answers.map((answer) =>
            answer._tag === "Fired" ? answer.run : assert.fail(answer._tag)
          )
        }))
    }))

  it.effect("T8 each event once: items of one call do not affect each other", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const views = yield* Effect.forEach(
        ["a", "b", "c"],
        (name) => put(definitionOf(namespace, { name: name as never })),
      )
      yield* succeeded(namespace)
      const events = yield* Effect.forEach(["a", "b", "c"], (name) => eventsOf(namespace, name))
      const answers = yield* followAll(
        following({ ...views[0]!, revision: 9 }, events[0]![0]!),
        following(views[1]!, events[1]![0]!),
        following(views[2]!, events[2]![0]!, "for a reason"),
        following(views[0]!, { ...events[0]![0]!, event: 2_000_000_000 as never }),
      )
      assert.deepEqual(answers.map(({ _tag }) => _tag), ["Stale", "Fired", "Skipped", "Already"])
      assert.deepEqual(yield* followAll(), [])
    }))

  it.effect("T9 no end without end: a circle stops, and says why", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const schedule = { _tag: "After", task, on: ["Succeeded"] } as const
      const view = yield* put(definitionOf(namespace, { schedule }))
      const hand = yield* joined(namespace)
      const lanes = [lane(namespace)]
      const first = yield* submitOne(specOfRun(namespace))
      let last: RunId = first
      for (let depth = 1;; depth++) {
        const { grants } = yield* hand.claim(1, { lanes })
        assert.deepEqual(grants.map(({ run }) => run), [last])
        yield* hand.settle(succeed(grants[0]!))
        const [event] = yield* eventsOf(namespace)
        const [answer] = yield* followAll(following(view, event!))
        if (answer?._tag === "Fired") {
          assert.isAtMost(depth, Following.depthMax)
          assert.strictEqual((yield* found(answer.run)).after, last)
          last = answer.run
          continue
        }
        assert.deepEqual(answer, { _tag: "Skipped", reason: Following.tooDeep })
        assert.strictEqual(depth, Following.depthMax + 1)
        break
      }
      assert.deepEqual(yield* eventsOf(namespace), [])
      // What begins anew is no part of the circle.
      yield* submitOne(specOfRun(namespace))
      const { grants } = yield* hand.claim(1, { lanes })
      yield* hand.settle(succeed(grants[0]!))
      const [event] = yield* eventsOf(namespace)
      assert.strictEqual((yield* followAll(following(view, event!)))[0]!._tag, "Fired")
    }))

  it.effect("H6 events: what nobody fired is recorded, and records leave by their age", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(
        definitionOf(namespace, {
          schedule: { _tag: "After", task: greet, on: ["Succeeded", "Cancelled"] },
        }),
      )
      yield* succeeded(namespace)
      const [fired] = yield* eventsOf(namespace)
      yield* followAll(following(view, fired!))
      const untaken = yield* submitOne(specOf(namespace))
      yield* cancelled(untaken)
      yield* elapse(Duration.days(31))
      yield* retireAll
      const records = yield* recordsOf(view)
      assert.deepEqual(
        records.map(({ after, outcome, reason }) => ({ run: after!.run, outcome, reason })),
        [{ run: untaken, outcome: "skipped", reason: Following.untaken }],
      )
      assert.deepEqual(yield* eventsOf(namespace), [])
      yield* elapse(Duration.days(31))
      yield* retireAll
      assert.deepEqual(yield* recordsOf(view), [])
    }))
}

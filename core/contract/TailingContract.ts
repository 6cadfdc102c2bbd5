/**
 * The laws of triggers that tail a source, T16 and T17 of `TriggerStorage`, as tests; and what other
 * laws come to for them.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law   | mistake                                                            |
 * | ----- | ------------------------------------------------------------------ |
 * | T2    | entries are not looked at; the revision is the latest, or left out |
 * | T4    | the revision is ignored; paused ones fire                          |
 * | T16   | the position is not compared                                       |
 * | T17   | another source goes on; an edit forgets; `upTo` falls back; it     |
 * |       | fails since the last failure; the partitions are not looked at;    |
 * |       | milliseconds are kept as they were measured (SQLite)               |
 *
 * On PostgreSQL: the position is not compared, or not locked, or no deadline is set (T16), paused ones
 * fire (T4), another source goes on (T17).
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import * as Tailing from "../domain/Tailing.ts"
import * as Trigger from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import type { Tailing as Item, TailView } from "../services/TriggerStorage.ts"
import { firing } from "./triggers/byEvent.ts"
import { put as putTrigger, recordsOf as recordsOfTrigger } from "./triggers/triggers.ts"
import {
  block,
  type Elapse,
  found,
  freshNamespace,
  type Options,
  type Tests,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`Tailing, ${adapter}`, layer, options, (it) => laws(it, elapse))

const schedule = (differently: Partial<Extract<Trigger.Schedule, { _tag: "Tail" }>> = {}) => ({
  _tag: "Tail" as const,
  source: "orders of the shop",
  from: "beginning" as const,
  unreadable: "skip" as const,
  ...differently,
})

const { definitionOf, name, runsOf, specOfRun, task, waitAsOthers } = firing({
  name: "orders",
  task: "bill",
  schedule: schedule(),
  payload: "null",
})

const put = (definition: Trigger.TriggerDefinition) =>
  Effect.andThen(
    putTrigger(definition),
    tailOf(definition.namespace, definition.name),
  )

const tailOf = (
  namespace: Namespace,
  of: Trigger.TriggerName = name,
): Effect.Effect<TailView, unknown, Storage> =>
  Effect.map(Storage.use(({ triggers }) => triggers.tails({ namespace, name: of })), ([view]) => {
    assert.isDefined(view)
    return view!
  })

/** What is read of `count` entries after the position of the tail. */
const reading = (
  { tail, view: { definition, id, revision } }: TailView,
  count: number,
  differently: Partial<Item> = {},
): Item => {
  const before = Number(tail.position ?? "0")
  return {
    trigger: id,
    revision,
    from: tail.position,
    to: `${before + count}`,
    entries: times(count).map((at) => ({
      position: `${before + at + 1}`,
      fire: specOfRun(definition.namespace, { payload: `{"n":${before + at + 1}}` }),
    })),
    passed: 0,
    endedMillisAgo: undefined,
    failure: undefined,
    ...differently,
  }
}

const take = (item: Item) => Storage.use(({ triggers }) => triggers.tail(item))

const taken = (item: Item) =>
  Effect.map(
    take(item),
    (answer) => answer._tag === "Taken" ? answer.runs : assert.fail(answer._tag),
  )

const recordsOf = ({ view }: TailView) => recordsOfTrigger(view, 1000)

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("put: a trigger that tails is kept, has no slot of its own, and is never due", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const { tail, view } = yield* put(definitionOf(namespace))
      assert.deepEqual(tail, Tailing.untouched)
      assert.isUndefined(view.cursor)
      assert.deepEqual(view.definition.schedule, schedule())
      const table = schedule({
        source: { table: "public.orders", id: "nr" },
        from: "end",
        unreadable: "stop",
        when: [{ at: "/total", is: "at least", to: 3 }],
      })
      const anew = yield* put(definitionOf(namespace, { schedule: table }))
      assert.deepEqual(anew.view.definition.schedule, table)
      const known = yield* triggers.find(namespace, name)
      assert.deepEqual(Option.getOrThrow(known), anew.view)
    }))

  it.effect("T16 each entry once: each makes a run, and the position moves with them", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace))
      const runs = yield* taken(reading(first, 3, { passed: 2 }))
      assert.strictEqual(runs.length, 3)
      const after = yield* tailOf(namespace)
      const { movedAt, ...rest } = after.tail
      assert.deepEqual(rest, { position: "3", fired: 3, passed: 2, skipped: 0 })
      assert.isDefined(movedAt)
      const run = yield* found(runs[1]!)
      assert.deepInclude(run, { task, state: "Ready", trigger: name, payload: '{"n":2}' })
      assert.deepEqual(
        (yield* recordsOf(after)).map(({ entry, outcome, run }) => ({ entry, outcome, run })),
        [2, 1, 0].map((at) => ({ entry: `${at + 1}`, outcome: "fired" as const, run: runs[at]! })),
      )
      assert.strictEqual(
        DateTime.toEpochMillis(run.slot!),
        (yield* recordsOf(after))[1]!.slot,
      )
    }))

  it.effect("T16 each entry once: who read from another position is behind, and does nothing", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace))
      yield* taken(reading(first, 2))
      assert.deepEqual(yield* take(reading(first, 2)), { _tag: "Behind" })
      assert.deepEqual(yield* take(reading(first, 5, { from: "1" })), { _tag: "Behind" })
      const after = yield* tailOf(namespace)
      assert.strictEqual(after.tail.position, "2")
      assert.strictEqual((yield* runsOf(namespace)).length, 2)
      assert.strictEqual((yield* recordsOf(after)).length, 2)
      yield* taken(reading(after, 1))
      assert.strictEqual((yield* runsOf(namespace)).length, 3)
    }))

  it.effect("T16 each entry once: of many at once one takes them", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      for (const round of times(5)) {
        const view = yield* round === 0 ? put(definitionOf(namespace)) : tailOf(namespace)
        const answers = yield* together(times(8).map(() => take(reading(view, 3))))
        assert.strictEqual(answers.filter(({ _tag }) => _tag === "Taken").length, 1)
        assert.strictEqual(answers.filter(({ _tag }) => _tag === "Behind").length, 7)
      }
      const payloads = (yield* runsOf(namespace)).map(({ payload }) => payload)
      assert.sameMembers(payloads, times(15).map((at) => `{"n":${at + 1}}`))
      assert.strictEqual((yield* tailOf(namespace)).tail.position, "15")
    }))

  it.effect("T16 each entry once: what makes no run is recorded with the reason", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const item = reading(view, 3)
      const entries = item.entries.map((entry, at) =>
        at === 1 ? { ...entry, fire: "it is not JSON" } : entry
      )
      const runs = yield* taken({ ...item, entries })
      assert.strictEqual(runs.length, 2)
      const after = yield* tailOf(namespace)
      assert.deepInclude(after.tail, { position: "3", fired: 2, skipped: 1 })
      const [last, skipped] = yield* recordsOf(after)
      assert.deepInclude(last!, { entry: "3", outcome: "fired", run: runs[1]! })
      assert.deepInclude(skipped!, { entry: "2", outcome: "skipped", reason: "it is not JSON" })
      assert.isUndefined(skipped!.run)
    }))

  it.effect("T16 each entry once: a gated, delayed, careful or timed run waits as any other", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      yield* waitAsOthers(
        namespace,
        elapse,
        (specs) =>
          taken(reading(view, specs.length, {
            entries: specs.map((fire, at) => ({ position: `${at + 1}`, fire })),
          })),
      )
    }))

  it.effect("T2 together: by a run its entry is found, with the revision that it was taken by", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const first = yield* taken(reading(view, 3))
      yield* elapse(Duration.seconds(1))
      const anew = yield* put(definitionOf(namespace, { payload: "1" }))
      const runs = [...first, ...yield* taken(reading(anew, 1))]
      const records = yield* recordsOf(anew)
      yield* elapse(Duration.seconds(1))
      yield* triggers.remove(namespace, name)
      for (const [at, run] of runs.entries()) {
        const record = records.find(({ entry }) => entry === `${at + 1}`)
        assert.deepEqual(Option.getOrThrow(yield* triggers.recordOf(run)), {
          ...record!,
          run,
          outcome: "fired",
          revision: at < 3 ? view.view.revision : anew.view.revision,
        })
      }
    }))

  it.effect("T4 current: for another revision, paused or removed, it is stale and nothing is done", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const first = yield* put(definitionOf(namespace))
      const second = yield* put(definitionOf(namespace, { payload: "1" }))
      assert.deepEqual(yield* take(reading(first, 1)), { _tag: "Stale" })
      yield* triggers.pause(namespace, name, true)
      assert.deepEqual(yield* take(reading(second, 1)), { _tag: "Stale" })
      assert.isTrue((yield* tailOf(namespace)).view.isPaused)
      yield* triggers.pause(namespace, name, false)
      yield* taken(reading(second, 1))
      const third = yield* tailOf(namespace)
      yield* triggers.remove(namespace, name)
      assert.deepEqual(yield* take(reading(third, 1)), { _tag: "Stale" })
      assert.strictEqual((yield* runsOf(namespace)).length, 1)
      assert.deepEqual(yield* triggers.tails({ namespace }), [])
    }))

  it.effect("T17 position: it outlives a pause, an edit and removal; another source begins anew", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      yield* taken(reading(yield* put(definitionOf(namespace)), 2))
      const position = Effect.map(tailOf(namespace), ({ tail }) => tail.position)
      yield* triggers.pause(namespace, name, true)
      assert.strictEqual(yield* position, "2")
      yield* triggers.pause(namespace, name, false)
      assert.strictEqual(yield* position, "2")
      const when = [{ at: "/n", is: "present" as const }]
      yield* put(definitionOf(namespace, { schedule: schedule({ when }) }))
      assert.strictEqual(yield* position, "2")
      yield* triggers.remove(namespace, name)
      yield* put(definitionOf(namespace))
      assert.strictEqual(yield* position, "2")
      const every = { _tag: "Every", millis: 60_000 } as const
      yield* triggers.put(definitionOf(namespace, { schedule: every }))
      assert.deepEqual(yield* triggers.tails({ namespace }), [])
      yield* put(definitionOf(namespace))
      assert.strictEqual(yield* position, "2")
      const other = yield* put(
        definitionOf(namespace, { schedule: schedule({ source: { table: "orders" } }) }),
      )
      assert.deepEqual(other.tail, { fired: 2, passed: 0, skipped: 0 })
      yield* taken(reading(other, 1))
      assert.deepInclude((yield* tailOf(namespace)).tail, { position: "1", fired: 3 })
      assert.strictEqual((yield* recordsOf(other)).length, 3)
    }))

  it.effect("T17 position: why it does not come further, and how far it lags, is told with it", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const stuck = { to: undefined, entries: [], failure: "there is no such file" }
      yield* taken(reading(view, 0, stuck))
      const first = (yield* tailOf(namespace)).tail
      assert.deepInclude(first, { failure: "there is no such file", fired: 0 })
      assert.isUndefined(first.position)
      assert.isUndefined(first.upTo)
      yield* elapse(Duration.seconds(5))
      const other = { ...stuck, failure: "no right to read it", endedMillisAgo: 0 }
      yield* taken(reading(view, 0, other))
      const second = (yield* tailOf(namespace)).tail
      assert.strictEqual(second.failure, "no right to read it")
      assert.isAtLeast(second.upTo! - second.failingSince!, 4000)
      yield* elapse(Duration.seconds(5))
      yield* taken(reading(view, 1, { endedMillisAgo: 499.25 }))
      const third = (yield* tailOf(namespace)).tail
      assert.isUndefined(third.failure)
      assert.isUndefined(third.failingSince)
      assert.strictEqual(third.upTo, third.movedAt! - 500)
      const idle = yield* tailOf(namespace)
      yield* taken(reading(idle, 0, { endedMillisAgo: 60_000 }))
      const fourth = (yield* tailOf(namespace)).tail
      assert.strictEqual(fourth.upTo, third.upTo, "it does not fall back")
      assert.strictEqual(fourth.movedAt, third.movedAt)
    }))

  it.effect("tails: those of a namespace, or of partitions, and no others", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const names = ["a", "b", "c"].map((each) => Trigger.TriggerName.make(each))
      for (const each of names) yield* put(definitionOf(namespace, { name: each }))
      yield* put(definitionOf(freshNamespace()))
      const namesOf = (views: ReadonlyArray<TailView>) =>
        views.map(({ view }) => view.definition).filter((each) => each.namespace === namespace)
          .map((each) => each.name)
      assert.deepEqual(namesOf(yield* triggers.tails({ namespace })), names)
      const mine = Trigger.partitionOf(namespace, names[1]!)
      const partitions = times(Trigger.partitions).filter((each) => each !== mine)
      assert.include(namesOf(yield* triggers.tails({ partitions: [mine] })), names[1])
      assert.notInclude(namesOf(yield* triggers.tails({ partitions })), names[1])
    }))
}

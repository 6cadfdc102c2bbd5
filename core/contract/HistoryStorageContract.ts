/**
 * The laws of `HistoryStorage`, as tests. `suite(name, layer, elapse)` passes when an adapter keeps
 * them.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                              |
 * | --- | -------------------------------------------------------------------- |
 * | H1  | the same class for all; counted from the submit                      |
 * | H2  | its key left behind, or the key of another taken; parent alone asked |
 * |     | how old it is; children leave before their parent, or stay           |
 * | H3  | keys end before their runs; at once; never                           |
 * | H4  | the latest leave; never; at once; a slot whose record left is unused |
 * | H5  | limit ignored for runs; for slots                                    |
 * | H7  | slots looked for only once                                           |
 *
 * On the SQLite adapter: what has left is counted still (H2), what is left of slot records is listed
 * (H4), a run that two took is counted twice, a pass ends after one window (H5); a deadline, a
 * checkpoint or kinship stays, what was found is not asked again (H2, `SqliteHistory.test.ts`). On
 * PostgreSQL: what has not ended is taken (H1), a pass ends after one window (H5), rows beside a run
 * stay (`PgHistory.test.ts`), outcomes not locked (H2, `sessions.test.ts`). On both: a child leaves
 * alone (H2), a family counts as one run (H5), a pass that took nothing does not say when the first may
 * leave, is the last one, or goes by the classes of before (H7).
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer, Option } from "effect"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Retention } from "../domain/Retention.ts"
import type { RunId } from "../domain/RunId.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../domain/Task.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import type { Firing, TriggerView } from "../services/TriggerStorage.ts"
import {
  admitAll,
  assertState,
  block,
  cancelled,
  type Elapse,
  found,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  handOver,
  joined,
  type Options,
  putDown,
  retry,
  revived,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`HistoryStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

const retire = (limit: number) => Storage.use(({ history }) => history.retire(limit))

/** Until a whole pass has taken nothing. */
export const retireAll = Effect.gen(function* () {
  const all = { runs: 0, keys: 0, slots: 0 }
  for (;;) {
    let taken = 0
    for (let hasMore = true; hasMore;) {
      const some = yield* retire(500)
      all.runs += some.runs
      all.keys += some.keys
      all.slots += some.slots
      taken += some.runs + some.keys + some.slots
      hasMore = some.hasMore
    }
    if (taken === 0) return all
  }
})

/** A task of its own in `namespace` whose runs are kept for so long. */
const taskKept = (namespace: Namespace, retention: Retention) =>
  Effect.gen(function* () {
    const { tasks } = yield* Storage
    const name = TaskName.make(fresh("task"))
    yield* tasks.define([
      new TaskDefinition({ namespace, name, policy: { ...usualPolicy, retention } }),
    ])
    return { task: name, lane: Lane.ofTask(namespace, name) }
  })

const isKnown = (run: RunId) => Effect.map(Storage.use(({ runs }) => runs.find(run)), Option.isSome)

/** Runs that have ended. */
const ended = (namespace: Namespace, count: number) =>
  Effect.gen(function* () {
    const hand = yield* joined(namespace)
    const runs = yield* submitAll(times(count).map(() => specOf(namespace)))
    const { grants } = yield* hand.claim(count)
    yield* hand.settle(...grants.map((grant) => succeed(grant)))
    return runs
  })

export const usual = (namespace: Namespace) => ({
  task: greet,
  lane: Lane.ofTask(namespace, greet),
})

/** A family at a gate of its own, admitted; and a hand that may claim its children. */
export const family = (
  namespace: Namespace,
  parent: { readonly task: TaskName; readonly lane: Lane.Lane },
  child: Partial<RunSpec> = {},
) =>
  Effect.gen(function* () {
    const { runs } = yield* Storage
    const hand = yield* joined(namespace)
    const answer = yield* runs.submitFamily({
      parent: specOf(namespace, parent),
      children: times(3).map(() => specOf(namespace, child)),
      places: 3,
    })
    if (answer._tag !== "Submitted") return assert.fail("a conflict")
    const { children, gate, run } = answer
    yield* admitAll(gate)
    const all = [run, ...children]
    const known = Effect.map(
      Effect.forEach(all, isKnown),
      (each) => each.filter(Boolean).length,
    )
    return { children, gate, hand, known, parent: run }
  })

/** Runs with all that can lie beside one, each of which has left. */
export const left = <R>(elapse: Elapse<R>) =>
  Effect.gen(function* () {
    const namespace = freshNamespace()
    const yearMillis = 365 * 86_400_000
    const { children, gate, hand, parent } = yield* family(namespace, usual(namespace), {
      deadlineMillis: yearMillis,
    })
    yield* hand.settle(putDown(yield* hand.one, '"half way"'))
    yield* cancelled(parent)
    yield* admitAll(gate)
    const never = yield* submitOne(
      specOf(namespace, { deadlineMillis: yearMillis, idempotencyKey: fresh("key") }),
    )
    yield* cancelled(never)
    const all = [parent, ...children, never]
    for (const run of all) yield* assertState(run, "Cancelled")
    yield* elapse(Duration.days(31))
    yield* retireAll
    for (const run of all) assert.isFalse(yield* isKnown(run))
    return all
  })

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const days = (count: number) => elapse(Duration.days(count))

  it.effect("H1 kept: a run is known for as long as its task says, and no longer", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const week = yield* submitOne(specOf(namespace, yield* taskKept(namespace, "7 days")))
      const month = yield* submitOne(specOf(namespace, yield* taskKept(namespace, "30 days")))
      const year = yield* submitOne(specOf(namespace, yield* taskKept(namespace, "365 days")))
      const usual = yield* submitOne(specOf(namespace))
      for (const run of [week, month, year, usual]) yield* cancelled(run)
      const known = Effect.andThen(retireAll, Effect.forEach([week, month, usual, year], isKnown))
      yield* days(6)
      assert.deepEqual(yield* known, [true, true, true, true])
      yield* days(2)
      assert.deepEqual(yield* known, [false, true, true, true])
      yield* days(21)
      assert.deepEqual(yield* known, [false, true, true, true])
      yield* days(2)
      assert.deepEqual(yield* known, [false, false, false, true])
      yield* days(333)
      assert.deepEqual(yield* known, [false, false, false, true])
      yield* days(2)
      assert.deepEqual(yield* known, [false, false, false, false])
    }))

  it.effect("H1 kept: it counts from the end, whenever that was", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const [early, late] = yield* submitAll([specOf(namespace), specOf(namespace)])
      yield* cancelled(early!)
      yield* days(25)
      yield* cancelled(late!)
      yield* days(10)
      yield* retireAll
      assert.isFalse(yield* isKnown(early!))
      assert.isTrue(yield* isKnown(late!))
    }))

  it.effect("H1 kept: what has not ended stays, in every state", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const running = yield* submitOne(specOf(namespace))
      yield* hand.one
      const runs = [
        running,
        ...yield* submitAll([
          specOf(namespace),
          specOf(namespace, { delayMillis: 500 * 86_400_000 }),
          specOf(namespace, { gate: gateOf(namespace, 1) }),
          specOf(namespace),
        ]),
      ]
      yield* suspended(runs.at(-1)!)
      const handedOver = yield* submitOne(specOf(namespace, { level: 0 }))
      yield* hand.settle(handOver(yield* hand.one))
      runs.push(handedOver)
      yield* days(400)
      yield* retireAll
      const states = yield* Effect.forEach(runs, found)
      assert.deepEqual(states.map(({ state }) => state), [
        "Running",
        "Ready",
        "Scheduled",
        "Blocked",
        "Suspended",
        "Awaiting",
      ])
    }))

  it.effect("H2 whole: a run that has left is unknown, and a late report of it is fenced", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const idempotencyKey = fresh("key")
      const spec = specOf(namespace, { idempotencyKey })
      const run = yield* submitOne(spec)
      const grant = yield* hand.one
      yield* hand.settle(retry(grant, 3_600_000))
      yield* cancelled(run)
      const other = yield* submitOne(specOf(namespace))
      assert.isAbove((yield* runs.events(run)).length, 1)
      yield* days(31)
      yield* retireAll
      assert.isTrue(Option.isNone(yield* runs.find(run)))
      assert.deepEqual(yield* runs.findMany([run]), [])
      assert.deepEqual((yield* runs.list({ namespace, limit: 10 })).map(({ id }) => id), [other])
      assert.deepEqual(yield* runs.list({ namespace, limit: 10, states: ["Cancelled"] }), [])
      assert.deepEqual(yield* runs.counts(namespace), { Ready: 1 })
      assert.deepEqual(yield* runs.events(run), [])
      assert.isTrue(Option.isNone(yield* runs.why(run)))
      assert.isTrue(Option.isNone(yield* runs.cancel(run)))
      assert.deepEqual((yield* hand.settle(succeed(grant))).settled, ["fenced"])
      const [again] = yield* runs.submit([spec])
      assert.deepInclude(again, { _tag: "Submitted", isNew: true })
      assert.notStrictEqual(again!.run, run)
    }))

  it.effect("H2 whole: a family leaves at once, when each of it may", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const week = yield* taskKept(namespace, "7 days")
      const { gate, hand, known, parent } = yield* family(namespace, week)
      yield* hand.settle(succeed(yield* hand.one))
      yield* days(40)
      yield* retireAll
      assert.strictEqual(yield* known, 4, "the others have not ended")
      const later = yield* joined(namespace)
      const { grants: [b, c] } = yield* later.claim(2)
      yield* later.settle(succeed(b!), giveUp(c!))
      yield* admitAll(gate)
      yield* assertState(parent, "Failed")
      yield* days(20)
      yield* retireAll
      assert.strictEqual(yield* known, 4, "the parent may leave, its children not yet")
      assert.strictEqual((yield* revived(parent)).answer, "confirmed")
      yield* admitAll(gate)
      yield* days(40)
      yield* retireAll
      assert.strictEqual(yield* known, 4, "one was revived")
      const last = yield* joined(namespace)
      yield* last.settle(succeed(yield* last.one))
      yield* admitAll(gate)
      yield* assertState(parent, "Succeeded")
      yield* days(31)
      yield* retireAll
      assert.strictEqual(yield* known, 0)
      const { runs } = yield* Storage
      assert.deepEqual(yield* runs.counts(namespace), {})
      assert.deepEqual(yield* runs.list({ namespace, parent, limit: 10 }), [])
    }))

  it.effect("H2 whole: children do not leave before their parent", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const year = yield* taskKept(namespace, "365 days")
      const { gate, hand, known, parent } = yield* family(namespace, year)
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(...grants.map((grant) => giveUp(grant)))
      yield* days(40)
      yield* retireAll
      assert.strictEqual(yield* known, 4, "the parent awaits the gathering")
      yield* admitAll(gate)
      yield* days(300)
      yield* retireAll
      assert.strictEqual(yield* known, 4)
      assert.strictEqual((yield* revived(parent)).answer, "confirmed")
      const { runs } = yield* Storage
      assert.deepEqual(yield* runs.counts(namespace), { Blocked: 3, Awaiting: 1 })
    }))

  it.effect("H2 whole: a deadline that was still to come leaves with its run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const gone = yield* left(elapse)
      yield* days(365)
      const { runs: expired } = yield* runs.expire(100_000)
      assert.deepEqual(expired.filter(({ run }) => gone.includes(run)), [])
    }))

  it.effect("H2 whole: a family that is revived as it leaves is there as a whole, or not at all", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      for (const _ of times(5)) {
        const { gate, hand, known, parent } = yield* family(namespace, usual(namespace))
        const { grants } = yield* hand.claim(3)
        yield* hand.settle(...grants.map((grant) => giveUp(grant)))
        yield* admitAll(gate)
        yield* days(31)
        yield* together([
          Effect.asVoid(runs.revive(parent)),
          Effect.asVoid(retireAll),
        ])
        if ((yield* known) > 0) {
          assert.strictEqual(yield* known, 4)
          yield* assertState(parent, "Awaiting")
          yield* admitAll(gate)
          const later = yield* joined(namespace)
          const again = yield* later.claim(3)
          assert.strictEqual(again.grants.length, 3)
          yield* later.settle(...again.grants.map((grant) => succeed(grant)))
          yield* admitAll(gate)
        }
      }
    }))

  it.effect("H3 keys: a key is free after its time, and its run is known for longer", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const spec = specOf(namespace, { idempotencyKey: fresh("key") })
      const first = yield* submitOne(spec)
      yield* cancelled(first)
      yield* days(6)
      yield* retireAll
      assert.deepInclude((yield* runs.submit([spec]))[0], { run: first, isNew: false })
      yield* days(2)
      yield* retireAll
      const [second] = yield* runs.submit([spec])
      assert.deepInclude(second, { _tag: "Submitted", isNew: true })
      assert.notStrictEqual(second!.run, first)
      assert.strictEqual((yield* found(first)).idempotencyKey, spec.idempotencyKey)
      // The key is the second's now, and does not leave with the first.
      yield* days(23)
      yield* retireAll
      assert.isFalse(yield* isKnown(first))
      assert.deepInclude((yield* runs.submit([spec]))[0], { run: second!.run, isNew: false })
    }))

  it.effect("H3 keys: a key stays for as long as its run has not ended", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const spec = specOf(namespace, { idempotencyKey: fresh("key") })
      const run = yield* submitOne(spec)
      yield* days(100)
      yield* retireAll
      assert.deepInclude((yield* runs.submit([spec]))[0], { run, isNew: false })
      yield* cancelled(run)
      yield* retireAll
      assert.deepInclude((yield* runs.submit([spec]))[0], { isNew: true })
    }))

  /** A trigger of a task whose history is kept for a week, and what fires its slots. */
  const fired = (namespace: Namespace, slots: number) =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const { task } = yield* taskKept(namespace, "7 days")
      const view = yield* triggers.put(
        new TriggerDefinition({
          namespace,
          name: TriggerName.make("often"),
          task,
          schedule: { _tag: "Every", millis: 10_000 },
          payload: "1",
          misfire: { _tag: "Once" },
        }),
      )
      yield* elapse(Duration.seconds(10 * slots + 2))
      const { cursor } = Option.getOrThrow(yield* triggers.find(namespace, view.definition.name))
      const firings = times(slots).map((at) => firing(view, cursor! + at * 10_000))
      for (const each of firings) {
        assert.strictEqual((yield* triggers.fire([each]))[0]!._tag, "Fired")
      }
      return { view, firings }
    })

  const firing = (view: TriggerView, slot: number): Firing => ({
    trigger: view.id,
    revision: view.revision,
    passed: undefined,
    fire: { slot, spec: specOf(view.definition.namespace) },
    next: slot + 10_000,
  })

  it.effect("H4 slots: records leave by their age, the earliest first", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const { firings, view } = yield* fired(namespace, 5)
      const slots = Effect.map(
        triggers.records(view.id, 100),
        (records) => records.map(({ slot }) => slot),
      )
      const before = yield* slots
      assert.strictEqual(before.length, firings.length)
      yield* days(6)
      yield* retireAll
      assert.deepEqual(yield* slots, before)
      yield* days(2)
      let left = before
      while (left.length > 0) {
        const taken = yield* retire(2)
        assert.isAtMost(taken.slots, 2)
        const now = yield* slots
        assert.deepEqual(now, left.slice(0, now.length), "the latest stay")
        assert.isAtLeast(now.length, left.length - 2)
        left = now
      }
    }))

  it.effect("H4 slots: those of a trigger that was removed leave likewise", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const { view } = yield* fired(namespace, 3)
      const asking = {
        trigger: view.id,
        revision: view.revision,
        kind: "manual" as const,
        request: "by hand",
        by: undefined,
        slot: undefined,
        spec: specOf(namespace, usual(namespace)),
      }
      yield* triggers.ask([asking], false)
      assert.isTrue(yield* triggers.remove(namespace, view.definition.name))
      const slots = Effect.map(triggers.records(view.id, 100), (records) => records.length)
      const before = yield* slots
      assert.isAtLeast(before, 4)
      yield* days(6)
      yield* retireAll
      assert.strictEqual(yield* slots, before)
      yield* days(2)
      while ((yield* slots) > 0) {
        const left = yield* slots
        assert.isAtMost((yield* retire(2)).slots, 2)
        assert.isBelow(yield* slots, left)
      }
    }))

  it.effect("H4 slots: a slot whose record has left does not fire again", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const { firings, view } = yield* fired(namespace, 4)
      yield* days(8)
      // In two goes, so that what is left of the first is met by the second.
      yield* retire(2)
      yield* retireAll
      assert.deepEqual(yield* triggers.records(view.id, 10), [])
      for (const each of firings) {
        assert.deepEqual(yield* triggers.fire([each]), [{ _tag: "Already" }])
      }
      const { cursor } = Option.getOrThrow(yield* triggers.find(namespace, view.definition.name))
      const [next] = yield* triggers.fire([firing(view, cursor!)])
      assert.strictEqual(next!._tag, "Fired")
      yield* retireAll
      assert.deepEqual((yield* triggers.records(view.id, 10)).map(({ slot }) => slot), [cursor!])
    }))

  it.effect("H4 slots: what somebody asked for leaves likewise, and its request with it", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const { view } = yield* fired(namespace, 1)
      const { revision } = Option.getOrThrow(
        yield* triggers.find(namespace, view.definition.name),
      )
      const asking = (request: string) => ({
        trigger: view.id,
        revision,
        kind: "manual" as const,
        request,
        by: undefined,
        slot: undefined,
        spec: specOf(namespace, usual(namespace)),
      })
      const asked = Effect.map(
        triggers.records(view.id, 100),
        (records) => records.flatMap(({ asked }) => asked === undefined ? [] : [asked.request]),
      )
      for (const request of ["a", "b", "c"]) yield* triggers.ask([asking(request)], false)
      yield* days(6)
      yield* triggers.ask([asking("d")], false)
      yield* retireAll
      assert.strictEqual((yield* asked).length, 4)
      yield* days(2)
      while ((yield* asked).length > 1) assert.isAtMost((yield* retire(2)).slots, 2)
      assert.deepEqual(yield* asked, ["d"])
      yield* retireAll
      assert.deepEqual(yield* asked, ["d"])
      assert.strictEqual((yield* triggers.ask([asking("a")], false))[0]!._tag, "Fired")
    }))

  it.effect("H5 bounded: a call takes no more than it was asked to", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const runs = yield* ended(namespace, 5)
      yield* days(31)
      for (let left = runs.length; left > 0;) {
        const taken = yield* retire(2)
        assert.isAtMost(taken.runs, 2)
        assert.isAtMost(taken.keys, 2)
        const known = (yield* Effect.forEach(runs, isKnown)).filter(Boolean).length
        assert.isAtLeast(known, left - 2)
        left = known
      }
    }))

  it.effect("H5 bounded: nor more than whole families need", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* retireAll
      const families = yield* Effect.forEach(times(3), () => family(namespace, usual(namespace)))
      for (const { gate, parent } of families) {
        yield* cancelled(parent)
        yield* admitAll(gate)
      }
      yield* days(31)
      for (let left = 12; left > 0;) {
        const taken = yield* retire(5)
        assert.isAtMost(taken.runs, 8)
        const known = yield* Effect.forEach(families, ({ known }) => known)
        for (const each of known) assert.oneOf(each, [0, 4])
        const now = known.reduce((sum, each) => sum + each, 0)
        assert.isAtLeast(now, left - 8)
        left = now
      }
    }))

  it.effect("H5 bounded: many that stay do not stand in the way of those that leave", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* submitAll(times(1100).map(() => specOf(namespace)))
      const late = yield* submitAll(times(3).map(() => specOf(namespace)))
      for (const run of late) yield* cancelled(run)
      yield* days(31)
      yield* retireAll
      assert.deepEqual(yield* Storage.use(({ runs }) => runs.counts(namespace)), { Ready: 1100 })
    }))

  it.effect("H5 bounded: two at once take each run once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* days(400)
      yield* retireAll
      const runs = yield* ended(namespace, 50)
      yield* days(31)
      let taken = 0
      for (const _ of times(20)) {
        const some = yield* together([retire(20), retire(20)])
        taken += some[0]!.runs + some[1]!.runs
      }
      assert.strictEqual(taken, runs.length)
      assert.deepEqual(yield* Storage.use(({ runs }) => runs.counts(namespace)), {})
    }))

  const recordsOf = (view: TriggerView) =>
    Effect.map(Storage.use(({ triggers }) => triggers.records(view.id, 10)), ({ length }) => length)

  it.effect("H7 in time: a record leaves when it may, whatever was looked for just before", () =>
    Effect.gen(function* () {
      const { view } = yield* fired(freshNamespace(), 1)
      yield* elapse(Duration.minutes(7 * 24 * 60 - 2))
      yield* retireAll
      assert.strictEqual(yield* recordsOf(view), 1)
      yield* elapse(Duration.minutes(2))
      yield* retireAll
      assert.strictEqual(yield* recordsOf(view), 0)
    }))

  it.effect("H7 in time: a record leaves by the class that its task has now, or soon the next task", () =>
    Effect.gen(function* () {
      const { tasks, triggers } = yield* Storage
      const namespace = freshNamespace()
      const { view } = yield* fired(namespace, 1)
      const kept = (retention: Retention) =>
        tasks.define([
          new TaskDefinition({
            namespace,
            name: view.definition.task,
            policy: { ...usualPolicy, retention },
          }),
        ])
      yield* kept("365 days")
      yield* days(8)
      yield* retireAll
      assert.strictEqual(yield* recordsOf(view), 1)
      yield* kept("7 days")
      yield* retireAll
      assert.strictEqual(yield* recordsOf(view), 0)

      const other = yield* fired(freshNamespace(), 1)
      const { definition } = other.view
      const year = yield* taskKept(definition.namespace, "365 days")
      yield* triggers.put(new TriggerDefinition({ ...definition, task: year.task }))
      yield* days(8)
      yield* retireAll
      assert.strictEqual(yield* recordsOf(other.view), 1)
      yield* triggers.put(definition)
      yield* elapse(Duration.minutes(15))
      yield* retireAll
      assert.strictEqual(yield* recordsOf(other.view), 0)
    }))
}

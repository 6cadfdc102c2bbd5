/**
 * The laws of `TransferStorage`, as tests. `suite(name, from, to)` passes when all that one storage
 * keeps can be moved to another; both are the same for an adapter by itself, and made anew for each
 * test, since an import is into an empty one. They live in real time, as whoever writes a file does.
 *
 * Tried on the SQLite adapter, and caught:
 *
 * | law | mistake                                                       |
 * | --- | ------------------------------------------------------------- |
 * | X1  | the journal left behind                                       |
 * | X2  | pages read without one snapshot                               |
 * | X3  | pages of thousands                                            |
 * | X4  | not asked whether anything is kept                            |
 * | X5  | what came is committed, however the import ends               |
 * | X6  | who was here has what its lease had left, not a whole ttl     |
 * | X7  | which report was settled last is lost                         |
 * | X8  | slots left behind                                             |
 * | X9  | turns at a gate the other way round; ranks left behind        |
 * | X10 | fences of locks begin anew                                    |
 *
 * On PostgreSQL: a grant exported twice, of a run that was lost for good and revived (X1).
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import { Calendar, CalendarName } from "../domain/Calendar.ts"
import type { Incarnation } from "../domain/Executor.ts"
import * as FanIn from "../domain/FanIn.ts"
import * as Lane from "../domain/Lane.ts"
import { LockKey } from "../domain/Lease.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Outbox from "../domain/Outbox.ts"
import type { Move, Unplaced } from "../domain/Placing.ts"
import { usualPolicy } from "../domain/Policy.ts"
import { Refused } from "../domain/Refused.ts"
import { broadcast } from "../domain/Routing.ts"
import type { RunId } from "../domain/RunId.ts"
import { type Of, StateRecord } from "../domain/StateRecord.ts"
import { TaskName } from "../domain/Task.ts"
import * as Touching from "../domain/Touching.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { place } from "../domain/Waiting.ts"
import { Lock } from "../services/Lock.ts"
import type { Report, RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import { pageMax } from "../services/TransferStorage.ts"
import type { Firing, TriggerView } from "../services/TriggerStorage.ts"
import { taskIn } from "./orders.ts"
import {
  admitAll,
  assertState,
  cancelled,
  changed,
  definitionOf,
  type Elapse,
  expireAll,
  found,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  type Hand,
  handOver,
  joined,
  nothingHeld,
  notified,
  promoteAll,
  putDown,
  recoverAll,
  resumed,
  retry,
  revived,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  timeOut,
  times,
  ttl,
} from "./world.ts"

/** A storage that is made anew, and how time goes by in it. */
export interface Side<R> {
  readonly layer: Layer.Layer<Storage | Lock | R, unknown>
  readonly elapse: Elapse<R>
}

type Kept<R> = Context.Context<Storage | Lock | R>

/** Into what `effect` finds there. */
const into = <R>(kept: Kept<R>) => <A, E>(effect: Effect.Effect<A, E, Storage | Lock | R>) =>
  Effect.provideContext(effect, kept)

export const exported = Storage.use(({ transfer }) => Stream.runCollect(transfer.export))

export const imported = (records: ReadonlyArray<StateRecord>) =>
  Storage.use(({ transfer }) => transfer.import(Stream.fromIterable(records)))

const runsIn = (records: ReadonlyArray<StateRecord>): ReadonlyArray<Of<"Run">> =>
  records.flatMap((each) => each._tag === "Run" ? [each] : [])

const settled = (incarnation: Incarnation, ...reports: ReadonlyArray<Report>) =>
  Effect.map(Storage.use(({ runs }) => runs.settle(incarnation, reports)), (done) => done.settled)

/** A lane of its own, so that what is claimed is known. */
const laneOf = (namespace: Namespace) => Lane.Lane.make(`${namespace}:${fresh("lane")}`)

/** The grant of one run like this. */
const granted = (hand: Hand, namespace: Namespace, spec: Partial<RunSpec> = {}) =>
  Effect.gen(function* () {
    const lane = laneOf(namespace)
    yield* submitOne(specOf(namespace, { lane, ...spec }))
    if (spec.gate !== undefined) yield* admitAll(spec.gate.key)
    const { grants } = yield* hand.claim(1, { lanes: [lane] })
    return grants[0]!
  })

const every = (namespace: Namespace, name: string, calendar?: CalendarName) =>
  new TriggerDefinition({
    namespace,
    name: TriggerName.make(name),
    task: greet,
    schedule: calendar === undefined
      ? { _tag: "Every", millis: 60_000 }
      : { _tag: "Cron", expression: "0 9 * * *", zone: "Asia/Shanghai", calendar },
    payload: "1",
    misfire: { _tag: "Skip" },
  })

const followed = TaskName.make("followed")

const follower = (namespace: Namespace) =>
  new TriggerDefinition({
    namespace,
    name: TriggerName.make("follower"),
    task: greet,
    schedule: { _tag: "After", task: followed, on: ["Succeeded", "Cancelled"] },
    payload: "1",
    misfire: { _tag: "Skip" },
  })

const tailing = (namespace: Namespace) =>
  new TriggerDefinition({
    namespace,
    name: TriggerName.make("tailing"),
    task: greet,
    schedule: { _tag: "Tail", source: "orders", from: "end", unreadable: "stop" },
    payload: "null",
    misfire: { _tag: "Skip" },
  })

const firing = ({ cursor, id, revision }: TriggerView, namespace: Namespace): Firing => ({
  trigger: id,
  revision,
  passed: undefined,
  fire: { slot: cursor!, spec: specOf(namespace, { lane: laneOf(namespace) }) },
  next: cursor! + 60_000,
})

const officeOf = (namespace: Namespace) =>
  new Calendar({
    namespace,
    name: CalendarName.make("office"),
    rest: ["SAT", "SUN"],
    holidays: ["2031-10-01"],
    workdays: ["2031-10-04"],
  })

/** One of everything. */
export const furnished = <R>(elapse: Elapse<R>) =>
  Effect.gen(function* () {
    const { calendars, permits, placements, runs, triggers } = yield* Storage
    const lock = yield* Lock
    const namespace = freshNamespace()
    const hand = yield* joined(namespace)
    const grant = (spec: Partial<RunSpec> = {}) => granted(hand, namespace, spec)

    const calendar = officeOf(namespace)
    yield* calendars.put(calendar)
    yield* triggers.put(every(namespace, "by-calendar", calendar.name))
    yield* triggers.put(every(namespace, "paused"))
    yield* triggers.pause(namespace, TriggerName.make("paused"), true)
    const trigger = yield* triggers.put(every(namespace, "regular"))
    const removed = yield* triggers.put(every(namespace, "removed"))
    // It ended before the trigger that follows was put, and has to stay untold of.
    yield* cancelled(yield* submitOne(specOf(namespace, { task: followed })))
    yield* triggers.put(follower(namespace))
    const tail = yield* triggers.put(tailing(namespace))
    yield* triggers.tail({
      trigger: tail.id,
      revision: tail.revision,
      from: undefined,
      to: "12",
      entries: [],
      passed: 12,
      endedMillisAgo: 10,
      failure: "its disk is gone",
    })

    yield* permits.order(namespace, "mail server", "open", { by: "Ada", note: "it is moved" })
    yield* permits.order(namespace, "mail server", "closed", { note: "it is not" }, "a key")
    yield* permits.orderGroup(namespace, "the books", true, { by: "Ada", note: "they are closed" })
    yield* permits.orderGroup(namespace, "the mail", true)
    yield* permits.orderGroup(namespace, "the mail", false, { by: "Bob" })

    // What ends in time.
    const crashed = yield* joined(namespace, Duration.seconds(10))
    const quarantined = yield* granted(crashed, namespace, { crashesMax: 0 })
    const twice = yield* granted(crashed, namespace, { crashesMax: 0 })
    yield* crashed.start(quarantined)
    yield* crashed.start(twice)
    yield* submitOne(specOf(namespace, { lane: laneOf(namespace), deadlineMillis: 5000 }))
    yield* hand.settle(handOver(yield* grant(), 5000))
    yield* elapse(Duration.seconds(70))
    yield* expireAll
    yield* recoverAll
    yield* revived(twice.run)
    const firings = [trigger, removed].map((each) => firing(each, namespace))
    yield* triggers.fire(firings)
    const [asked] = yield* triggers.ask([{
      trigger: trigger.id,
      revision: trigger.revision,
      kind: "manual",
      request: "by hand",
      by: "Ada",
      slot: undefined,
      spec: specOf(namespace, { delayMillis: 3_600_000 }),
    }], false)
    if (asked?._tag === "Fired") yield* runs.cancel(asked.run)
    yield* triggers.remove(namespace, removed.definition.name)

    // Ended.
    const succeeded = yield* grant({ idempotencyKey: "done" })
    yield* hand.settle(succeed(succeeded, '{"kept":"\\u0000 …"}'))
    const remembering = succeed(yield* grant())
    yield* hand.settle({ ...remembering, kept: { key: "ada", state: '{"balance":5}' } } as Report)
    yield* hand.settle(giveUp(yield* grant()), timeOut(yield* grant()))
    yield* cancelled(yield* submitOne(specOf(namespace, { lane: laneOf(namespace) })))
    const discarding = gateOf(namespace, 1, "discard")
    yield* grant({ gate: discarding })
    yield* submitOne(specOf(namespace, { gate: discarding }))
    yield* admitAll(discarding.key)

    // Waiting.
    const lane = laneOf(namespace)
    const inLane = yield* submitAll([
      specOf(namespace, { lane, level: 2 }),
      specOf(namespace, { lane, idempotencyKey: "waits" }),
      specOf(namespace, { lane, level: 0 }),
      specOf(namespace, { lane, deadlineMillis: 3_600_000 }),
      specOf(namespace, { lane, level: 4 }),
    ])
    yield* changed(inLane[4]!, { level: 0, by: "Ada" })
    const later = yield* submitOne(specOf(namespace, { delayMillis: 3_600_000 }))
    const promoted = yield* submitOne(
      specOf(namespace, { lane: laneOf(namespace), delayMillis: 1 }),
    )
    const failing = yield* grant()
    yield* hand.settle(retry(failing, 3_600_000))
    const again = yield* grant()
    yield* hand.settle(retry(again))
    yield* elapse(Duration.seconds(2))
    yield* promoteAll
    const revivable = yield* grant()
    yield* hand.settle(giveUp(revivable))
    yield* revived(revivable.run)

    // At gates.
    const queue = gateOf(namespace, 1)
    const atHead = yield* grant({ gate: queue })
    yield* runs.conclude(hand.incarnation, [{
      run: atHead.run,
      fence: atHead.fence,
      conclusion: {
        state: "Failed",
        phase: "cleaning",
        failure: { tag: "Boom", message: "é" },
      },
    }])
    const waiting = yield* submitAll(
      [1, 2, 0, 1].map((level) => specOf(namespace, { lane, gate: queue, level: level as 0 })),
    )
    yield* changed(waiting[1]!, { level: 0 })
    const keeping = gateOf(namespace, 1)
    const putAside = yield* grant({ gate: keeping })
    yield* hand.settle(putDown(putAside, '{"at":7}'))
    const behind = yield* submitOne(specOf(namespace, { gate: keeping }))
    const shared = gateOf(namespace, 2)
    const given = yield* grant({ gate: shared })
    yield* hand.settle(putDown(given))
    yield* suspended(yield* submitOne(specOf(namespace, { lane: laneOf(namespace) })))
    yield* suspended(yield* submitOne(specOf(namespace, { delayMillis: 3_600_000 })))

    yield* submitAll([
      specOf(namespace, { gate: gateOf(namespace, 1, "replace") }),
      specOf(namespace, { gate: gateOf(namespace, 1, "latest") }),
      specOf(namespace, { gate: Touching.gate(namespace, { db: "exclusive", disk: "shared" }) }),
    ])

    // In parts, of which one was placed and has ended, and one waits for its executor.
    const routed = place(namespace, greet, { ...usualPolicy, routing: broadcast }, undefined)
    yield* submitOne(specOf(namespace, routed))
    yield* admitAll(routed.gate!.key)
    const { incarnation, name } = hand
    const decided = (moveOf: (run: Unplaced) => Move) =>
      Effect.gen(function* () {
        const { remembered, revision, runs } = yield* placements.waiting(routed.lane, 1)
        const moves = runs.map(moveOf)
        const applied = yield* placements.place({ lane: routed.lane, revision, remembered, moves })
        if (applied._tag === "Stale") return assert.fail("a decision is stale")
        for (const gate of applied.gates) yield* admitAll(gate)
      })
    const parts = [{ boundTo: incarnation }, { boundTo: incarnation }]
    yield* decided(({ fence, run }) => ({ _tag: "Spread", run, fence, parts }))
    const itsLane = Lane.ofExecutor(namespace, greet, incarnation)
    const placed = { incarnation, name, strategy: "Broadcast", passedOver: [] }
    yield* decided(({ fence, run }) => ({ _tag: "To", run, fence, lane: itsLane, placed }))
    const { grants: [part] } = yield* hand.claim(1, { lanes: [itsLane] })
    yield* hand.settle(succeed(part!))

    // Handed over.
    const handed = yield* grant()
    const limited = yield* grant()
    yield* hand.settle(handOver(handed), handOver(limited, 3_600_000))

    // A family, of which one has ended and one is under way.
    const ofChildren = laneOf(namespace)
    const family = yield* runs.submitFamily({
      parent: specOf(namespace, { idempotencyKey: "family" }),
      children: times(3).map(() => specOf(namespace, { lane: ofChildren })),
      places: 2,
    })
    if (family._tag !== "Submitted") return assert.fail("a conflict")
    yield* admitAll(family.gate)
    const { grants: [first, second] } = yield* hand.claim(2, { lanes: [ofChildren] })
    yield* hand.settle(succeed(first!))

    // Held.
    const plain = yield* grant()
    const started = yield* grant()
    const once = yield* grant({ isAtMostOnce: true })
    for (const each of [started, once]) yield* hand.start(each)
    const stopping = yield* grant()
    yield* cancelled(stopping.run)
    const puttingDown = yield* grant()
    yield* suspended(puttingDown.run)
    const lost = yield* joined(namespace, Duration.seconds(10))
    const orphan = yield* granted(lost, namespace)
    const late = yield* granted(lost, namespace)
    const left = yield* joined(namespace)
    yield* left.leave
    yield* elapse(Duration.seconds(20))

    const [held, free] = [LockKey.make(fresh("held")), LockKey.make(fresh("free"))]
    yield* lock.acquire(held, "ada", Duration.minutes(10))
    for (let nth = 0; nth < 3; nth++) {
      const lease = yield* lock.acquire(free, "ada", Duration.minutes(10))
      yield* lock.release(Option.getOrThrow(lease))
    }
    return {
      namespace,
      hand,
      trigger: Option.getOrThrow(yield* triggers.find(namespace, trigger.definition.name)),
      removed,
      fired: firings,
      lane,
      inLane,
      later,
      promoted,
      failing,
      queue,
      atHead,
      waiting,
      keeping,
      putAside,
      behind,
      handed,
      limited,
      family: { ...family, last: second!, lane: ofChildren },
      plain,
      started,
      once,
      stopping,
      puttingDown,
      lost,
      orphan,
      late,
      succeeded,
      held,
      free,
    }
  })

/** All that is told of a namespace, but for when its executors have beaten. */
const told = (namespace: Namespace) =>
  Effect.gen(function* () {
    const { calendars, executors, permits, runs, tasks, triggers } = yield* Storage
    const views = yield* runs.list({ namespace, limit: 1000 })
    const kept = yield* triggers.list(namespace)
    return {
      // When a retried run became due is not kept everywhere.
      // Nor, everywhere, the last grant of one that was put down.
      runs: views.map(({ dueAt: _, ...view }) =>
        view.state === "Suspended" ? { ...view, claimedAt: undefined } : view
      ),
      breakers: yield* permits.list(namespace),
      keys: yield* permits.keys(namespace, "mail server"),
      groups: yield* permits.groups(namespace),
      state: yield* runs.state(namespace, greet, "ada"),
      events: yield* Effect.forEach(views, ({ id }) => runs.events(id)),
      counts: yield* runs.counts(namespace),
      why: yield* Effect.forEach(views, ({ id }) => runs.why(id)),
      tasks: yield* tasks.list(namespace),
      calendars: yield* Effect.forEach(
        yield* calendars.list(namespace),
        ({ name }) => calendars.find(namespace, name),
      ),
      triggers: kept,
      records: yield* Effect.forEach(kept, ({ id }) => triggers.records(id, 100)),
      tails: yield* triggers.tails({ namespace }),
      executors: (yield* executors.list(namespace)).map(({ beatAt: _, ...view }) => view),
    }
  })

/**
 * An export without what is of a clock, or not kept by every technology: when a retried run became due,
 * and by how much a run that was due late had been.
 */
export const comparable = (records: ReadonlyArray<StateRecord>): ReadonlyArray<unknown> =>
  records.flatMap((record): ReadonlyArray<unknown> => {
    switch (record._tag) {
      case "Marks":
        return []
      case "Executor": {
        const { beatAt: _, ...rest } = record
        return [rest]
      }
      case "Lock":
        return [{ ...record, endsInMillis: record.endsInMillis > 0 }]
      case "Run": {
        const { dueAt, ...place } = record.place as Extract<typeof record.place, { dueAt?: number }>
        const { rank: _, ...unranked } = place as Extract<typeof place, { _tag: "Ready" }>
        const isNew = place._tag === "Ready" && place.fence === 0 && record.gate === undefined
        return [{
          ...record,
          place: { ...isNew ? unranked : place, ...(place._tag === "Scheduled" && { dueAt }) },
        }]
      }
      default:
        return [record]
    }
  }).map((each) => each as { _tag: string }).toSorted((a, b) => keyOf(a) < keyOf(b) ? -1 : 1)

const keyOf = (record: object): string => JSON.stringify(record, Object.keys(record).sort())

export const suite = <R, R2 = R>(
  title: string,
  from: Side<R>,
  to: Side<R2>,
): void =>
  void describe(`TransferStorage, ${title}`, () => {
    const test = (
      name: string,
      body: () => Effect.Effect<unknown, unknown, Scope.Scope>,
    ) => void it.live(name, body, 60_000)
    const empty = Layer.build(Layer.fresh(to.layer))
    /** Time is the same for both. */
    const level = (source: Kept<R>, target: Kept<R2>) =>
      Effect.gen(function* () {
        const ahead = (yield* Context.get(source, Storage).now) -
          (yield* Context.get(target, Storage).now)
        if (ahead > 0) yield* into(target)(to.elapse(Duration.millis(ahead)))
        else yield* into(source)(from.elapse(Duration.millis(-ahead)))
      })
    const both = Effect.gen(function* () {
      const source = yield* Layer.build(Layer.fresh(from.layer))
      const target = yield* empty
      yield* level(source, target)
      return { source, target }
    })

    /** A storage with one of everything, what it told, and where that has gone to. */
    const moved = Effect.gen(function* () {
      const { source, target } = yield* both
      const world = yield* into(source)(furnished(from.elapse))
      const records = yield* into(source)(exported)
      yield* level(source, target)
      yield* into(target)(imported(records))
      return { source, target, world, records }
    })

    /** What is done where all of it went. */
    const after = (
      name: string,
      body: (world: World) => Effect.Effect<unknown, unknown, Storage | Lock | R2>,
    ) => test(name, () => Effect.flatMap(moved, ({ target, world }) => into(target)(body(world))))

    test("X1 whole: it tells what it told before", () =>
      Effect.gen(function* () {
        const { source, target, world: { namespace } } = yield* moved
        const before = yield* into(source)(told(namespace))
        assert.isAbove(before.runs.length, 40)
        assert.deepEqual(yield* into(target)(told(namespace)), before)
      }))

    test("X1 whole: it is exported as it was imported", () =>
      Effect.gen(function* () {
        const { records, target } = yield* moved
        const again = yield* into(target)(exported)
        assert.deepEqual(comparable(again), comparable(records))
        assert.deepEqual(
          new Set(records.map(({ _tag }) => _tag)),
          new Set(Object.keys(StateRecord.cases)),
          "one of each sort",
        )
        const places = runsIn(records).map(({ place }) =>
          place._tag === "Ended" ? place.state : place._tag
        )
        assert.strictEqual(new Set(places).size, 13, "one in each state")
      }))

    after("X1 whole: a key names the run it named", ({ family, inLane, namespace, succeeded }) =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const submitted = yield* runs.submit([
          specOf(namespace, { idempotencyKey: "done" }),
          specOf(namespace, { idempotencyKey: "waits" }),
          specOf(namespace, { idempotencyKey: "done", payload: "2" }),
        ])
        assert.deepInclude(submitted[0]!, { run: succeeded.run, isNew: false })
        assert.deepInclude(submitted[1]!, { run: inLane[1]!, isNew: false })
        assert.deepEqual(submitted[2], { _tag: "Conflict", run: succeeded.run })
        const again = yield* runs.submitFamily({
          parent: specOf(namespace, { idempotencyKey: "family" }),
          children: [specOf(namespace)],
          places: 1,
        })
        assert.deepInclude(again, { run: family.run, gate: family.gate })
      }))

    test("X2 one instant: what happens while it is read is not in it", () =>
      Effect.gen(function* () {
        const source = yield* Layer.build(Layer.fresh(from.layer))
        const records = yield* into(source)(Effect.gen(function* () {
          const { transfer } = yield* Storage
          const namespace = freshNamespace()
          const hand = yield* joined(namespace)
          const runs = yield* submitAll(
            times(3 * pageMax).map(() =>
              specOf(namespace)
            ),
          )
          const others: Array<RunId> = []
          const records: Array<StateRecord> = []
          yield* Stream.runForEachArray(transfer.export, (some) =>
            Effect.gen(function* () {
              records.push(...some)
              if (others.length > 0) return
              others.push(...yield* submitAll([specOf(namespace), specOf(namespace)]))
              const { grants } = yield* hand.claim(500)
              yield* hand.settle(...grants.map((each) => succeed(each)))
            }))
          assert.deepEqual(runsIn(records).map(({ id }) => id), runs)
          return records
        }))
        assert.isTrue(runsIn(records).every(({ place }) => place._tag === "Ready"))
      }))

    test("X3 bounded: it comes a page at a time", () =>
      Effect.gen(function* () {
        const source = yield* Layer.build(Layer.fresh(from.layer))
        const target = yield* empty
        yield* into(source)(Effect.gen(function* () {
          const namespace = freshNamespace()
          yield* submitAll(times(2 * pageMax + 1).map(() => specOf(namespace)))
          const { transfer } = yield* Storage
          const pages: Array<number> = []
          const counts = yield* Context.get(target, Storage).transfer.import(
            Stream.mapArray(transfer.export, (some) => {
              pages.push(some.length)
              return some
            }),
          )
          assert.strictEqual(counts.Run, 2 * pageMax + 1)
          assert.isAtLeast(pages.length, 3)
          assert.isAtMost(Math.max(...pages), pageMax)
        }))
      }))

    test("X4 into nothing: a storage that keeps something refuses, and stays as it is", () =>
      Effect.gen(function* () {
        const source = yield* Layer.build(Layer.fresh(from.layer))
        const records = yield* into(source)(
          Effect.andThen(submitOne(specOf(freshNamespace())), exported),
        )
        const namespace = freshNamespace()
        const kept: Readonly<Record<string, Effect.Effect<unknown, unknown, Storage | Lock>>> = {
          runs: submitOne(specOf(namespace)),
          tasks: Storage.use(({ tasks }) => tasks.define([definitionOf(namespace)])),
          calendars: Storage.use(({ calendars }) => calendars.put(officeOf(namespace))),
          triggers: Storage.use(({ triggers }) => triggers.put(every(namespace, "regular"))),
          permits: Storage.use(({ permits }) => permits.order(namespace, "mail", "open")),
          locks: Lock.use((lock) => lock.acquire(LockKey.make("a"), "ada", Duration.minutes(1))),
        }
        for (const [what, keep] of Object.entries(kept)) {
          yield* into(yield* empty)(Effect.gen(function* () {
            yield* keep
            const before = comparable(yield* exported)
            const refusal = yield* Effect.flip(imported(records))
            if (!(refusal instanceof Refused)) return assert.fail(`${refusal}`)
            assert.strictEqual(refusal.field, "storage")
            assert.include(refusal.reason, what)
            assert.include(refusal.remedy, "does not exist yet")
            assert.deepEqual(comparable(yield* exported), before)
          }))
        }
      }))

    test("X5 all or nothing: an import that ends early leaves nothing", () =>
      Effect.gen(function* () {
        const { records } = yield* moved
        yield* into(yield* empty)(Effect.gen(function* () {
          const { transfer } = yield* Storage
          const half = Stream.fromIterable(records.slice(0, -10), { chunkSize: 7 })
          const failed = transfer.import(Stream.concat(half, Stream.fail("torn" as const)))
          assert.strictEqual(yield* Effect.flip(failed), "torn")
          const silent = Stream.concat(half, Stream.fromEffect(Effect.never))
          yield* Effect.raceFirst(transfer.import(silent), Effect.sleep("300 millis"))
          const twice = [...records, records.at(-1)!, runsIn(records)[0]!]
          const refusal = yield* Effect.flip(imported(twice))
          if (!(refusal instanceof Refused)) return assert.fail(`${refusal}`)
          assert.strictEqual(refusal.field, "records")
          assert.deepEqual(comparable(yield* exported), [])
          yield* imported(records)
          assert.deepEqual(comparable(yield* exported), comparable(records))
        }))
      }))

    after("X6 held: it is held by the same, under the same fence", ({ hand, plain, started }) =>
      Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const held = yield* executors.beat(hand.incarnation, nothingHeld)
        assert.strictEqual(held._tag, "Alive")
        for (const grant of [plain, started]) {
          assert.deepInclude(yield* found(grant.run), { state: "Running", fence: grant.fence })
        }
        assert.deepEqual(
          yield* runs.start(hand.incarnation, [{ run: plain.run, fence: plain.fence }]),
          [true],
        )
        assert.deepEqual(
          yield* settled(hand.incarnation, succeed(plain), succeed(started)),
          ["applied", "applied"],
        )
        yield* assertState(plain.run, "Succeeded")
      }))

    after("X6 held: who was here has a whole ttl, who was lost stays lost", (world) =>
      Effect.gen(function* () {
        const { executors } = yield* Storage
        const { hand, lost } = world
        assert.strictEqual((yield* executors.beat(lost.incarnation, nothingHeld))._tag, "Lost")
        yield* to.elapse(Duration.subtract(ttl, Duration.seconds(30)))
        assert.strictEqual((yield* executors.beat(hand.incarnation, nothingHeld))._tag, "Alive")
        const { states } = yield* recoverAll
        assert.strictEqual(states.get(world.orphan.run), "Ready")
        assert.isUndefined(states.get(world.plain.run))
      }))

    after("X6 held: what its holder never reports of is recovered as ever", (world) =>
      Effect.gen(function* () {
        yield* to.elapse(Duration.sum(ttl, Duration.seconds(1)))
        const { states } = yield* recoverAll
        const { family, once, plain, puttingDown, started, stopping } = world
        assert.strictEqual(states.get(once.run), "Failed", "it may have begun once")
        assert.strictEqual(states.get(plain.run), "Ready")
        assert.strictEqual(states.get(started.run), "Ready")
        assert.strictEqual(states.get(stopping.run), "Cancelled")
        assert.strictEqual(states.get(puttingDown.run), "Suspended")
        assert.strictEqual(states.get(family.last.run), "Ready")
      }))

    after("X7 onward: a fence rises, and the report of an older one is fenced", (world) =>
      Effect.gen(function* () {
        const { late, lost, namespace, succeeded } = world
        yield* recoverAll
        const { lane } = yield* found(late.run)
        const hand = yield* joined(namespace)
        const { grants: [again] } = yield* hand.claim(1, { lanes: [lane] })
        assert.strictEqual(again!.run, late.run)
        assert.isAbove(again!.fence, late.fence)
        assert.deepEqual(yield* settled(lost.incarnation, succeed(late)), ["fenced"])
        assert.deepEqual(
          yield* settled(world.hand.incarnation, succeed(succeeded), retry(world.failing)),
          ["duplicate", "duplicate"],
        )
        yield* assertState(late.run, "Running")
      }))

    test("X7 onward: new numbers are above all that were given", () =>
      Effect.gen(function* () {
        const { records, target, world } = yield* moved
        yield* into(target)(Effect.gen(function* () {
          const { triggers } = yield* Storage
          const marks = records.find((each) =>
            each._tag === "Marks"
          )!
          assert.isAbove(yield* submitOne(specOf(world.namespace)), marks.run)
          const { incarnation } = yield* joined(world.namespace)
          assert.strictEqual(incarnation, marks.incarnation + 1)
          const { id } = yield* triggers.put(every(world.namespace, "new"))
          assert.strictEqual(id, marks.trigger + 1)
        }))
      }))

    after("X8 used: a slot fires once, and the next one does", ({ fired, namespace, trigger }) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        assert.deepEqual(yield* triggers.fire([fired[0]!]), [{ _tag: "Already" }])
        const [due] = (yield* triggers.due(times(1024), 600_000, 10)).triggers
        assert.strictEqual(due!.cursor, trigger.cursor)
        yield* to.elapse(Duration.minutes(2))
        const [next] = yield* triggers.fire([firing(trigger, namespace)])
        assert.strictEqual(next!._tag, "Fired")
      }))

    after("X8 used: a trigger that follows has what ends from then on", ({ namespace }) =>
      Effect.gen(function* () {
        const { outbox } = yield* Storage
        const lane = laneOf(namespace)
        const spec = specOf(namespace, { lane, task: followed })
        const waiting = yield* submitOne(specOf(namespace, { task: followed }))
        yield* cancelled(waiting)
        const run = yield* submitOne(spec)
        const hand = yield* joined(namespace)
        const { grants } = yield* hand.claim(1, { lanes: [lane] })
        yield* hand.claim(0, {
          reports: grants.map((grant) =>
            succeed(grant)
          ),
        })
        const events = yield* outbox.take({
          consumer: Outbox.triggers,
          partitions: [Outbox.partition({ namespace, name: "follower" })],
          limit: 100,
          forMillis: 0,
        })
        assert.deepEqual(
          events.filter((event) =>
            event.namespace === namespace
          ).map((event) =>
            event.run
          ),
          [waiting, run],
        )
      }))

    after("X8 used: a trigger that tails goes on where it was", ({ namespace }) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const [found] = yield* triggers.tails({ namespace })
        const { tail, view } = found!
        assert.deepInclude(tail, { position: "12", passed: 12, failure: "its disk is gone" })
        const item = {
          trigger: view.id,
          revision: view.revision,
          entries: [{ position: "13", fire: specOf(namespace) }],
          passed: 0,
          endedMillisAgo: undefined,
          failure: undefined,
          to: "13",
        }
        assert.deepEqual(yield* triggers.tail({ ...item, from: "11" }), { _tag: "Behind" })
        assert.strictEqual((yield* triggers.tail({ ...item, from: "12" }))._tag, "Taken")
      }))

    after("X8 used: also one of a trigger that was removed, and comes back", (world) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const back = yield* triggers.put(world.removed.definition)
        assert.strictEqual(back.id, world.removed.id)
        const [, firing] = world.fired
        const [again] = yield* triggers.fire([{ ...firing!, revision: back.revision }])
        assert.strictEqual(again!._tag, "Already")
      }))

    test("X8 used: also one whose record has left by its age", () =>
      Effect.gen(function* () {
        const { source, target } = yield* both
        const namespace = freshNamespace()
        const { fired, records } = yield* into(source)(Effect.gen(function* () {
          const { history, triggers } = yield* Storage
          const trigger = yield* triggers.put(every(namespace, "regular"))
          yield* from.elapse(Duration.minutes(2))
          const fired = firing(trigger, namespace)
          yield* triggers.fire([fired])
          yield* from.elapse(Duration.days(40))
          while ((yield* history.retire(100)).slots === 0);
          return { fired, records: yield* exported }
        }))
        yield* level(source, target)
        yield* into(target)(Effect.gen(function* () {
          const { triggers } = yield* Storage
          yield* imported(records)
          assert.deepEqual(yield* triggers.fire([fired]), [{ _tag: "Already" }])
          assert.deepEqual(yield* triggers.records(fired.trigger, 10), [])
          assert.deepEqual(comparable(yield* exported), comparable(records))
        }))
      }))

    after("X9 in order: those at a gate, and in a lane", (world) =>
      Effect.gen(function* () {
        const { atHead, hand, inLane, lane, queue, waiting } = world
        const claimed: Array<RunId> = []
        assert.strictEqual((yield* found(atHead.run)).phase, "cleaning")
        const next = yield* joined(world.namespace)
        const { grants } = yield* next.claim(10, { lanes: [lane] })
        assert.deepEqual(
          grants.map(({ run }) =>
            run
          ),
          [
            inLane[2],
            inLane[4],
            inLane[1],
            inLane[3],
            inLane[0],
          ],
        )
        yield* settled(hand.incarnation, succeed(atHead))
        for (const _ of waiting) {
          yield* admitAll(queue.key)
          const { grants } = yield* next.claim(10, { lanes: [lane] })
          assert.strictEqual(grants.length, 1, "one place")
          claimed.push(grants[0]!.run)
          yield* next.settle(succeed(grants[0]!))
        }
        assert.deepEqual(claimed, [waiting[1], waiting[2], waiting[0], waiting[3]])
      }))

    test("X9 in order: who waits at a gate has waited as long as it had", () =>
      Effect.gen(function* () {
        const { source, target } = yield* both
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1)
        const low = yield* into(source)(Effect.gen(function* () {
          yield* recoverAll
          const low = yield* submitOne(specOf(namespace, { gate, level: 2 }))
          yield* from.elapse(Duration.minutes(6))
          return low
        }))
        const records = yield* into(source)(exported)
        yield* level(source, target)
        yield* into(target)(Effect.gen(function* () {
          yield* imported(records)
          yield* to.elapse(Duration.minutes(6))
          yield* recoverAll
          const urgent = yield* submitOne(specOf(namespace, { gate, level: 0 }))
          assert.deepEqual(yield* admitAll(gate.key), [{ run: low, state: "Ready" }])
          yield* cancelled(low)
          assert.deepEqual(yield* admitAll(gate.key), [{ run: urgent, state: "Ready" }])
        }))
      }))

    test("X9 in order: who waits at a gate by a deadline does so, whatever order is named since", () =>
      Effect.gen(function* () {
        const { source, target } = yield* both
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1)
        const submit = (task: TaskName, deadlineMillis?: number) =>
          submitOne(specOf(namespace, { gate, task, deadlineMillis }))
        const wanted = yield* into(source)(Effect.gen(function* () {
          yield* recoverAll
          const task = yield* taskIn(namespace, "deadline")
          const far = yield* submit(task, 80_000)
          const near = yield* submit(task, 40_000)
          const none = yield* submit(task)
          yield* taskIn(namespace, "age")
          return [near, none, yield* submit(task, 20_000), far]
        }))
        const records = yield* into(source)(exported)
        yield* level(source, target)
        yield* into(target)(Effect.gen(function* () {
          yield* imported(records)
          for (const run of wanted) {
            assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
            yield* cancelled(run)
          }
        }))
      }))

    after("X9 in order: what was put down keeps its place, and goes on where it was", (world) =>
      Effect.gen(function* () {
        const { behind, keeping, putAside } = world
        yield* admitAll(keeping.key)
        yield* assertState(behind, "Blocked")
        const { lane } = yield* found(putAside.run)
        yield* resumed(putAside.run)
        const hand = yield* joined(world.namespace)
        const { grants: [grant] } = yield* hand.claim(1, { lanes: [lane] })
        assert.deepInclude(grant!, { run: putAside.run, checkpoint: '{"at":7}', attempt: 1 })
        yield* hand.settle(succeed(grant!))
        yield* admitAll(keeping.key)
        yield* assertState(behind, "Ready")
      }))

    after("X9 in order: a notice ends what was handed over, once", ({ handed, limited }) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* notified(handed.run)).answer, "applied")
        assert.strictEqual((yield* notified(handed.run)).answer, "duplicate")
        yield* to.elapse(Duration.hours(2))
        yield* expireAll
        yield* assertState(limited.run, "TimedOut")
      }))

    after("X9 in order: a parent ends with its last child", ({ family, hand, namespace }) =>
      Effect.gen(function* () {
        yield* settled(hand.incarnation, succeed(family.last))
        yield* admitAll(family.gate)
        yield* assertState(family.run, "Awaiting")
        const next = yield* joined(namespace)
        const { grants: [last] } = yield* next.claim(9, { lanes: [family.lane] })
        assert.deepEqual(last!.shard, { parent: family.run, index: 2, count: 3 })
        yield* next.settle(succeed(last!))
        yield* admitAll(FanIn.gate(family.run, 1).key)
        yield* assertState(family.run, "Succeeded")
      }))

    after("X9 in order: what is due later is due when it was", ({ failing, later }) =>
      Effect.gen(function* () {
        yield* promoteAll
        yield* assertState(later, "Scheduled")
        yield* assertState(failing.run, "Scheduled")
        yield* to.elapse(Duration.hours(2))
        yield* promoteAll
        yield* assertState(later, "Ready")
        yield* assertState(failing.run, "Ready")
      }))

    after("X10 locks: fences rise, and who held one holds it", ({ free, held }) =>
      Effect.gen(function* () {
        const lock = yield* Lock
        const ada = Option.getOrThrow(yield* lock.acquire(free, "ada", Duration.minutes(1)))
        assert.strictEqual(ada.fence, 4)
        assert.isTrue(Option.isNone(yield* lock.acquire(held, "bob", Duration.minutes(1))))
        yield* to.elapse(Duration.minutes(11))
        const bob = Option.getOrThrow(yield* lock.acquire(held, "bob", Duration.minutes(1)))
        assert.strictEqual(bob.fence, 2)
      }))
  })

type World = Effect.Success<ReturnType<typeof furnished<never>>>

/** A storage with one of everything in it. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { Calendar, CalendarName } from "../../domain/Calendar.ts"
import * as Lane from "../../domain/Lane.ts"
import { LockKey } from "../../domain/Lease.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import type { Move, Unplaced } from "../../domain/Placing.ts"
import { usualPolicy } from "../../domain/Policy.ts"
import { broadcast } from "../../domain/Routing.ts"
import { TaskName } from "../../domain/Task.ts"
import * as Touching from "../../domain/Touching.ts"
import { TriggerDefinition, TriggerName } from "../../domain/Trigger.ts"
import { place } from "../../domain/Waiting.ts"
import { Lock } from "../../services/Lock.ts"
import type { Report, RunSpec } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import type { Firing, TriggerView } from "../../services/TriggerStorage.ts"
import {
  admitAll,
  cancelled,
  changed,
  type Elapse,
  expireAll,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  type Hand,
  handOver,
  joined,
  promoteAll,
  putDown,
  recoverAll,
  release,
  retry,
  revived,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  timeOut,
  times,
} from "../world.ts"

/** A lane of its own, so that what is claimed is known. */
export const laneOf = (namespace: Namespace) => Lane.Lane.make(`${namespace}:${fresh("lane")}`)

/** The grant of one run like this. */
const granted = (hand: Hand, namespace: Namespace, spec: Partial<RunSpec> = {}) =>
  Effect.gen(function* () {
    const lane = laneOf(namespace)
    yield* submitOne(specOf(namespace, { lane, ...spec }))
    if (spec.gate !== undefined) yield* admitAll(spec.gate.key)
    const { grants } = yield* hand.claim(1, { lanes: [lane] })
    return grants[0]!
  })

export const every = (namespace: Namespace, name: string, calendar?: CalendarName) =>
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

export const followed = TaskName.make("followed")

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

export const firing = ({ cursor, id, revision }: TriggerView, namespace: Namespace): Firing => ({
  trigger: id,
  revision,
  passed: undefined,
  fire: { slot: cursor!, spec: specOf(namespace, { lane: laneOf(namespace) }) },
  next: cursor! + 60_000,
})

export const officeOf = (namespace: Namespace) =>
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
    const returned = { ...release(yield* grant()), why: "Stopping" } as const
    yield* hand.settle(returned)
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
      returned,
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

export type World = Effect.Success<ReturnType<typeof furnished<never>>>

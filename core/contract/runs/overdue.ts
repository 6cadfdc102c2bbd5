/** R41 and E9: what is said of a run when its time is up and its holder is silent. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { GateKey } from "../../domain/Blocking.ts"
import { Fence } from "../../domain/Lease.ts"
import { Storage } from "../../services/Storage.ts"
import type { Ending, Report } from "../../services/RunStorage.ts"
import { assertReplayed } from "../replayed.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  found,
  freshNamespace,
  gateOf,
  type Hand,
  handOver,
  ids,
  joined,
  nothingHeld,
  notified,
  promoteAll,
  putDown,
  recoverAll,
  release,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  timeOut,
  times,
  together,
} from "../world.ts"

const seconds = Duration.seconds
const after = (inSeconds: number, report: Report): Ending => ({
  inMillis: inSeconds * 1000,
  report,
})

/** With its beat of this number. */
const leave = ({ incarnation }: Hand, number: number, ...all: ReadonlyArray<Ending>) =>
  Storage.use(({ executors }) =>
    executors.beat(incarnation, nothingHeld, undefined, { number, all })
  )

/** Says all that is to be said by now. */
const endAll = Effect.gen(function* () {
  const { runs } = yield* Storage
  const reports: Array<Report> = []
  const freed = new Set<GateKey>()
  for (;;) {
    const some = yield* runs.endOverdue(100)
    reports.push(...some.reports)
    for (const gate of some.freed) freed.add(gate)
    if (some.nextInMillis !== 0) return { freed, reports, nextInMillis: some.nextInMillis }
  }
})

const mayStart = (hand: Hand, grant: { run: Ending["report"]["run"]; fence: Fence }) =>
  Effect.map(hand.start(grant), (mayRun) => assert.isFalse(mayRun))

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R41 overdue: a run has timed out once its time is up, and not before", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const spec = specOf(namespace)
      const [ends, goesOn] = yield* submitAll([spec, spec])
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(2)
      const [first, second] = grants as [typeof grants[number], typeof grants[number]]
      yield* leave(hand, 1, after(20, timeOut(first)), after(20, retry(second, 5000)))
      yield* elapse(seconds(17))
      const { nextInMillis } = yield* endAll
      assert.isAtMost(nextInMillis!, 3500)
      for (const run of [ends!, goesOn!]) yield* assertState(run, "Running")
      yield* elapse(seconds(5))
      const { reports } = yield* endAll
      assert.includeDeepMembers(reports as Array<Report>, [timeOut(first), retry(second, 5000)])
      assert.deepInclude(yield* found(ends!), { state: "TimedOut", attempt: 1, crashes: 0 })
      assert.deepInclude(yield* found(goesOn!), { state: "Scheduled", attempt: 1, crashes: 0 })
      // Its holder comes back, and is too late with all that it says.
      for (const grant of [first, second]) yield* mayStart(hand, grant)
      const { settled } = yield* hand.settle(succeed(first), succeed(second))
      assert.deepEqual(settled, ["duplicate", "duplicate"])
      assert.deepEqual((yield* endAll).reports.filter(({ run }) => run === ends), [])
      yield* elapse(seconds(6))
      yield* promoteAll
      const again = yield* hand.one
      assert.deepInclude(again, { run: goesOn!, attempt: 2, fence: Fence.make(2) })
      for (const run of [ends!, goesOn!]) yield* assertReplayed(run, spec)
    }))

  it.effect("R41 overdue: left with the mark of its start, which counts but once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const all = yield* submitAll(times(2).map(() => specOf(namespace)))
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(2)
      const marks = (inSeconds: number) =>
        grants.map((grant) => ({
          run: grant.run,
          fence: grant.fence,
          ...(grant.run === all[0] && { ending: after(inSeconds, timeOut(grant)) }),
        }))
      assert.deepEqual(yield* runs.start(hand.incarnation, marks(20)), [true, true])
      yield* elapse(seconds(10))
      assert.deepEqual(yield* runs.start(hand.incarnation, marks(60)), [true, true])
      yield* elapse(seconds(12))
      yield* endAll
      yield* assertState(all[0]!, "TimedOut")
      yield* assertState(all[1]!, "Running")
      // Of a start that was not accepted nothing is kept.
      const other = yield* joined(namespace)
      const theirs = { run: all[1]!, fence: Fence.make(1) }
      const mark = { ...theirs, ending: after(0, timeOut(theirs)) }
      assert.deepEqual(yield* runs.start(other.incarnation, [mark]), [false])
      yield* endAll
      yield* assertState(all[1]!, "Running")
    }))

  it.effect("R41 overdue: nothing is said of a run that its holder does not have any more", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const reports = [
        succeed,
        (held: Parameters<typeof retry>[0]) => retry(held, 3_600_000),
        release,
        (held: Parameters<typeof retry>[0]) => putDown(held, "1"),
        (held: Parameters<typeof retry>[0]) => handOver(held),
      ]
      yield* submitAll(reports.map(() => specOf(namespace)))
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(reports.length)
      yield* leave(hand, 1, ...grants.map((grant) => after(20, timeOut(grant))))
      yield* hand.settle(...grants.map((grant, nth) => reports[nth]!(grant)))
      // What was given back has another holder by then, with another fence.
      const other = yield* joined(namespace)
      assert.strictEqual((yield* other.one).run, grants[2]!.run)
      yield* elapse(seconds(22))
      const said = ids((yield* endAll).reports)
      for (const { run } of grants) assert.notInclude(said, run)
      const states = yield* Effect.forEach(grants, ({ run }) => found(run))
      assert.deepEqual(
        states.map(({ state }) => state),
        ["Succeeded", "Scheduled", "Running", "Suspended", "Awaiting"],
      )
      const { runs } = yield* Storage
      for (const { run } of grants) {
        const kinds = (yield* runs.events(run)).map(({ kind }) => kind)
        assert.notInclude(kinds, "LateReport", "nobody has said anything late")
      }
      assert.strictEqual((yield* notified(grants[4]!.run)).answer, "applied")
    }))

  it.effect("R41 overdue: one that its holder has concluded passes on with its lease", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const phases = ["rollingBack", "cleaning"] as const
      const all = yield* submitAll(phases.map(() => specOf(namespace)))
      const hand = yield* joined(namespace, seconds(30))
      const { grants } = yield* hand.claim(2)
      yield* leave(hand, 1, ...grants.map((grant) => after(20, timeOut(grant))))
      const kept = yield* runs.conclude(
        hand.incarnation,
        grants.map(({ fence, run }, nth) => ({
          run,
          fence,
          conclusion: { state: nth === 0 ? "Failed" : "Succeeded", phase: phases[nth]! },
        })),
      )
      assert.deepEqual(kept, [true, true])
      yield* elapse(seconds(22))
      yield* endAll
      for (const run of all) yield* assertState(run, "Running")
      yield* elapse(seconds(20))
      yield* recoverAll
      for (const run of all) yield* assertState(run, "Ready")
    }))

  it.effect("R41 overdue: what was to be stopped is cancelled, and what was to be put down is", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const all = yield* submitAll(times(3).map(() => specOf(namespace)))
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(3)
      yield* leave(
        hand,
        1,
        after(20, timeOut(grants[0]!)),
        after(20, retry(grants[1]!)),
        after(20, timeOut(grants[2]!)),
      )
      yield* cancelled(grants[0]!.run)
      yield* suspended(grants[1]!.run)
      yield* suspended(grants[2]!.run)
      yield* elapse(seconds(22))
      yield* endAll
      assert.sameMembers([...all], [...ids(grants)])
      const states = yield* Effect.forEach(grants, ({ run }) => found(run))
      assert.deepEqual(states.map(({ state }) => state), ["Cancelled", "Suspended", "TimedOut"])
      assert.deepEqual((yield* hand.settle(abort(grants[0]!))).settled, ["duplicate"])
    }))

  it.effect("R41 overdue: its place of a gate is given back, and it is said but once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gates = times(6).map(() => gateOf(namespace, 1))
      for (const gate of gates) {
        yield* submitAll([specOf(namespace, { gate }), specOf(namespace, { gate })])
        yield* admitAll(gate.key)
      }
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(12)
      assert.strictEqual(grants.length, 6)
      yield* leave(hand, 1, ...grants.map((grant) => after(20, timeOut(grant))))
      yield* elapse(seconds(22))
      const limited = yield* runs.endOverdue(2)
      assert.isAtMost(limited.reports.length, 2)
      assert.strictEqual(limited.nextInMillis, 0)
      const answers = yield* together(times(4).map(() => endAll))
      const said = [limited, ...answers].flatMap(({ reports }) => ids(reports))
        .filter((run) => ids(grants).includes(run))
      assert.deepEqual(sorted(said), sorted(ids(grants)))
      const freed = new Set([limited, ...answers].flatMap(({ freed }) => [...freed]))
      for (const { key } of gates) {
        assert.isTrue(freed.has(key))
        assert.strictEqual((yield* admitAll(key)).length, 1)
      }
    }))

  it.effect("R41 overdue: whoever was lost before says nothing more", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace))
      const hand = yield* joined(namespace, seconds(10))
      const grant = yield* hand.one
      yield* leave(hand, 1, after(20, timeOut(grant)))
      yield* elapse(seconds(12))
      yield* recoverAll
      yield* assertState(run, "Ready")
      assert.strictEqual((yield* leave(hand, 2, after(0, timeOut(grant))))._tag, "Lost")
      yield* endAll
      yield* assertState(run, "Ready")
      const other = yield* joined(namespace)
      const next = yield* other.one
      yield* elapse(seconds(12))
      yield* endAll
      yield* assertState(run, "Running")
      assert.deepEqual((yield* other.settle(succeed(next))).settled, ["applied"])
    }))

  it.effect("E9 endings: those of a beat take the place of all before; without any they stay", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const all = yield* submitAll(times(3).map(() => specOf(namespace)))
      const hand = yield* joined(namespace)
      const { grants } = yield* hand.claim(3)
      const [early, later, withdrawn] = grants as [
        typeof grants[number],
        typeof grants[number],
        typeof grants[number],
      ]
      yield* leave(hand, 1, ...grants.map((grant) => after(20, timeOut(grant))))
      yield* elapse(seconds(5))
      yield* leave(hand, 2, after(15, timeOut(early)), after(40, timeOut(later)))
      yield* hand.beat
      yield* elapse(seconds(17))
      yield* endAll
      yield* assertState(early.run, "TimedOut")
      yield* assertState(later.run, "Running")
      yield* assertState(withdrawn.run, "Running")
      yield* elapse(seconds(25))
      yield* endAll
      yield* assertState(later.run, "TimedOut")
      yield* assertState(withdrawn.run, "Running")
      yield* leave(hand, 3, after(20, timeOut(withdrawn)))
      yield* leave(hand, 4)
      yield* elapse(seconds(22))
      yield* endAll
      yield* assertState(withdrawn.run, "Running")
      assert.sameMembers([...all], [...ids(grants)])
    }))

  it.effect("E9 endings: of two beats that change places the later one counts", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* submitOne(specOf(namespace))
      const hand = yield* joined(namespace)
      const grant = yield* hand.one
      yield* leave(hand, 2, after(40, timeOut(grant)))
      yield* leave(hand, 1, after(20, timeOut(grant)))
      yield* leave(hand, 2, after(20, timeOut(grant)))
      yield* elapse(seconds(22))
      yield* endAll
      yield* assertState(grant.run, "Running")
      yield* elapse(seconds(20))
      yield* endAll
      yield* assertState(grant.run, "TimedOut")
    }))

  it.effect("E9 endings: nobody leaves anything to be said of a run of somebody else", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace))
      const [hand, other] = [yield* joined(namespace), yield* joined(namespace)]
      const grant = yield* hand.one
      yield* leave(other, 1, after(0, timeOut(grant)))
      yield* elapse(seconds(2))
      yield* endAll
      yield* assertState(run, "Running")
    }))
}

/** In a storage whose clock `set` sets by an hour. */
export const unlessSet = <R>(
  set: (byMillis: number) => Effect.Effect<unknown, unknown, R>,
  elapse: Elapse<R>,
  byMillis: number,
) =>
  Effect.gen(function* () {
    const namespace = freshNamespace()
    const run = yield* submitOne(specOf(namespace))
    const hand = yield* joined(namespace)
    const grant = yield* hand.one
    yield* leave(hand, 1, after(20, timeOut(grant)))
    yield* elapse(seconds(5))
    yield* set(byMillis)
    yield* endAll
    yield* assertState(run, "Running")
    // With its next beat it leaves it again, if that was forgotten.
    yield* leave(hand, 2, after(15, timeOut(grant)))
    yield* elapse(seconds(10))
    yield* endAll
    yield* assertState(run, "Running")
    yield* elapse(seconds(8))
    yield* endAll
    yield* assertState(run, "TimedOut")
  })

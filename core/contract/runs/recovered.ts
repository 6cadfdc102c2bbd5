/** R11: runs whose executor is gone. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import type { RunId } from "../../domain/RunId.ts"
import { TaskDefinition } from "../../domain/Task.ts"
import { Storage } from "../../services/Storage.ts"
import type { RunSpec } from "../../services/RunStorage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  definitionOf,
  type Elapse,
  found,
  freshNamespace,
  gateOf,
  ids,
  joined,
  promoteAll,
  recoverAll,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  times,
  together,
} from "../world.ts"
import { assertReplayed } from "../replayed.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R32 forgotten crashes, B51: only those count that are within the window, since it came on", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      const definition = definitionOf(namespace)
      const policy = { ...definition.policy, crashesMax: 1, crashesWithinMillis: 60_000 }
      const windowed = Effect.tap(
        joined(namespace),
        () => tasks.define([new TaskDefinition({ ...definition, policy })]),
      )
      const spec = specOf(namespace, { crashesMax: 1 })
      const run = yield* submitOne(spec)
      /** It crashes its executor, so long after the last time. */
      const crashes = (seconds: number) =>
        Effect.gen(function* () {
          yield* elapse(Duration.seconds(seconds))
          yield* promoteAll
          const hand = yield* windowed
          yield* hand.start(yield* hand.one)
          yield* hand.leave
          yield* recoverAll
          const { crashes, state } = yield* found(run)
          return [state, crashes]
        })
      assert.deepEqual(yield* crashes(1), ["Ready", 1])
      assert.deepEqual(yield* crashes(61), ["Ready", 2])
      // It fails like any other, and so has come on.
      yield* elapse(Duration.seconds(5))
      const hand = yield* windowed
      yield* hand.settle(retry(yield* hand.one))
      assert.deepEqual(yield* crashes(5), ["Ready", 3])
      assert.deepEqual(yield* crashes(5), ["Quarantined", 4])
      yield* assertReplayed(run, spec, { crashesWithinMillis: policy.crashesWithinMillis })
      // Of a task without a window they count for life.
      const other = freshNamespace()
      const forLife = yield* submitOne(specOf(other, { crashesMax: 1 }))
      for (const state of ["Ready", "Quarantined"] as const) {
        yield* elapse(Duration.hours(1))
        const hand = yield* joined(other)
        yield* hand.start(yield* hand.one)
        yield* hand.leave
        yield* recoverAll
        yield* assertState(forLife, state)
      }
    }))

  it.effect("R11 recovery, B10: frees what a lost incarnation held, as the table says", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace, Duration.seconds(10))
      const spec = (differently: Partial<RunSpec>) => specOf(namespace, differently)
      const [unstarted, started, once, frail, stopping] = yield* submitAll([
        spec({}),
        spec({}),
        spec({ isAtMostOnce: true }),
        spec({ crashesMax: 0 }),
        spec({}),
      ])
      const { grants } = yield* hand.claim(10)
      assert.strictEqual(grants.length, 5)
      for (const grant of grants) {
        if (grant.run !== unstarted) assert.isTrue(yield* hand.start(grant))
      }
      yield* cancelled(stopping!)
      yield* elapse(Duration.seconds(5))
      assert.notInclude((yield* recoverAll).lost, hand.incarnation, "it is in time")
      yield* elapse(Duration.seconds(6))
      const { lost, states } = yield* recoverAll
      // Whoever else sweeps this database may have found it first.
      if (lost.includes(hand.incarnation)) {
        assert.deepStrictEqual(
          [unstarted, started, once, frail, stopping].map((run) => states.get(run!)),
          ["Ready", "Ready", "Failed", "Quarantined", "Cancelled"],
        )
      }
      const numbers = (run: RunId) =>
        Effect.map(found(run), ({ attempt, crashes, fence, state }) => ({
          state,
          attempt,
          crashes,
          fence,
        }))
      assert.deepEqual(yield* numbers(unstarted!), {
        state: "Ready",
        attempt: 0,
        crashes: 0,
        fence: Fence.make(1),
      })
      assert.deepEqual(yield* numbers(started!), {
        state: "Ready",
        attempt: 1,
        crashes: 1,
        fence: Fence.make(1),
      })
      assert.deepInclude(yield* found(once!), { state: "Failed", attempt: 1 })
      assert.deepInclude(yield* found(frail!), { state: "Quarantined", crashes: 1 })
      assert.isDefined((yield* found(frail!)).failure, "it says why")
      yield* assertState(stopping!, "Cancelled")
      const next = yield* joined(namespace)
      const again = yield* next.claim(10)
      assert.deepStrictEqual(sorted(ids(again.grants)), sorted([unstarted!, started!]))
      assert.isTrue(again.grants.every(({ isCareful }) => isCareful), "from now on it is careful")
    }))

  it.effect("R11 recovery, B56: fifty times whoever holds all places is lost, and all are there again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const places = 4
      const gate = gateOf(namespace, places)
      const spec = specOf(namespace, { gate, crashesMax: 100 })
      const made = yield* submitAll(times(places + 3).map(() => spec))
      yield* admitAll(gate.key)
      const seen = new Set<RunId>()
      for (const round of times(50)) {
        const hand = yield* joined(namespace)
        const { grants } = yield* hand.claim(places + 3)
        assert.strictEqual(grants.length, places, `round ${round}`)
        for (const grant of grants) {
          assert.isTrue(yield* hand.start(grant))
          seen.add(grant.run)
        }
        assert.deepEqual(yield* admitAll(gate.key), [], "there is no place left")
        yield* hand.leave
        yield* recoverAll
        yield* admitAll(gate.key)
      }
      assert.deepEqual(sorted([...seen]), sorted(made.slice(0, places)), "they keep their places")
      const hand = yield* joined(namespace)
      for (const  of of[made.slice(0, places), made.slice(places)]) {
        const { grants } = yield* hand.claim(places + 3)
        assert.deepStrictEqual(sorted(ids(grants)), sorted(of))
        yield* hand.settle(...grants.map((grant) => succeed(grant)))
        yield* admitAll(gate.key)
      }
    }))

  it.effect("R11 recovery: crashes add up to quarantine", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace, { crashesMax: 2 }))
      for (const crashes of [1, 2, 3]) {
        const hand = yield* joined(namespace)
        assert.isTrue(yield* hand.start(yield* hand.one))
        yield* hand.leave
        yield* recoverAll
        const state = crashes > 2 ? "Quarantined" : "Ready"
        assert.deepInclude(yield* found(run), { state, crashes, attempt: crashes })
      }
    }))

  it.effect("R11 recovery: two at once free each grant once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hands = yield* together(times(3).map(() => joined(namespace)))
      const made = yield* submitAll(times(30).map(() => specOf(namespace)))
      for (const hand of hands) {
        const { grants } = yield* hand.claim(10)
        for (const grant of grants) assert.isTrue(yield* hand.start(grant))
        yield* hand.leave
      }
      const answers = yield* together(times(4).map(() => runs.recover(500)))
      const freed = ids(answers.flatMap(({ runs }) => runs)).filter((run) => made.includes(run))
      assert.strictEqual(new Set(freed).size, freed.length, "no grant is freed twice")
      yield* recoverAll
      for (const view of yield* runs.findMany(made)) {
        assert.deepInclude(view, { state: "Ready", crashes: 1, attempt: 1 })
      }
    }))

  it.effect("R11 recovery, B14: three sweeps and the last reports meet, and one of them counts", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(30).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(30)
      assert.strictEqual(grants.length, 30)
      for (const grant of grants) assert.isTrue(yield* hand.start(grant))
      yield* hand.leave
      const settle = (from: number) =>
        Effect.map(
          hand.settle(...grants.slice(from, from + 15).map((grant) => succeed(grant))),
          ({ settled }): ReadonlyArray<string> => settled,
        )
      const sweep = Effect.as(runs.recover(500), [])
      const settled = (yield* together([settle(0), sweep, sweep, settle(15), sweep])).flat()
      yield* recoverAll
      for (const [nth, { run }] of grants.entries()) {
        const isApplied = settled[nth] === "applied"
        assert.isTrue(isApplied || settled[nth] === "fenced", settled[nth])
        yield* assertState(run, isApplied ? "Succeeded" : "Ready")
        const ends = (yield* runs.events(run)).filter(({ kind }) =>
          kind === "Succeeded" || kind === "Lost"
        )
        assert.strictEqual(ends.length, 1, JSON.stringify(ends))
      }
    }))

  it.effect("R11 recovery: keeps to its limit, and gets through in the end", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(7).map(() => specOf(namespace)))
      yield* hand.claim(7)
      yield* hand.leave
      const freed: Array<RunId> = []
      for (;;) {
        const { runs: some } = yield* runs.recover(3)
        assert.isAtMost(some.length, 3)
        if (some.length === 0) break
        freed.push(...ids(some))
      }
      for (const run of made) yield* assertState(run, "Ready")
      assert.strictEqual(new Set(freed).size, freed.length)
    }))

  it.effect("R11 recovery: leaves alone what live and draining executors hold", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const [live, draining] = yield* together([joined(namespace), joined(namespace)])
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const [a, b] = [yield* live!.one, yield* draining!.one]
      yield* executors.drain(draining!.incarnation)
      const { states } = yield* recoverAll
      assert.isFalse(states.has(a.run) || states.has(b.run))
      assert.deepEqual((yield* draining!.settle(succeed(b))).settled, ["applied"])
    }))
}

/** R8: gates, and how many hold places of them. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Gate } from "../../domain/Blocking.ts"
import * as Lane from "../../domain/Lane.ts"
import { Fence } from "../../domain/Lease.ts"
import type { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  found,
  freshNamespace,
  gateOf,
  giveUp,
  type Hand,
  ids,
  inThePresent,
  joined,
  type Options,
  promoteAll,
  recoverAll,
  release,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  timeOut,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>, options: Options): void => {
  /** Turns follow the clock with the sweep. */
  const later = (duration: Duration.Duration) => Effect.andThen(elapse(duration), recoverAll)

  /** Of those that wait there, one after the other. */
  const passing = (gate: Gate, count: number) =>
    Effect.forEach(times(count), () =>
      Effect.gen(function* () {
        const [admission] = yield* admitAll(gate.key)
        yield* cancelled(admission!.run)
        return admission!.run
      }))

  it.effect("R8 gates: a gated run is ready only after admit", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [answer] = yield* runs.submit([specOf(namespace, { gate })])
      assert.deepInclude(answer!, { state: "Blocked", isNew: true })
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      assert.strictEqual((yield* found(answer!.run)).gate, gate.key)
      assert.deepEqual(yield* admitAll(gate.key), [{ run: answer!.run, state: "Ready" }])
      assert.strictEqual((yield* hand.one).run, answer!.run)
    }))

  it.effect("R8 gates: one at a time, in order of submit, and each end frees the place", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const made = yield* submitAll(times(5).map(() => specOf(namespace, { gate })))
      const ends = [succeed, giveUp, timeOut, abort, succeed]
      for (const [n, run] of made.entries()) {
        assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
        const grant = yield* hand.one
        assert.strictEqual(grant.run, run)
        assert.deepEqual(yield* admitAll(gate.key), [], "the place is taken")
        const { freed } = yield* hand.settle(ends[n]!(grant))
        assert.deepEqual(freed, [gate.key])
      }
    }))

  it.effect("R8 gates: a claim that settles names the freed gates too", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      const grant = yield* hand.one
      const { freed } = yield* hand.claim(1, { reports: [succeed(grant)] })
      assert.deepEqual(freed, [gate.key])
    }))

  it.effect("R8 gates: the better level passes first, then the one submitted first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const levels: ReadonlyArray<Lane.Level> = [1, 2, 4, 1, 0, 3, 2, 0, 3]
      const made = yield* submitAll(levels.map((level) => specOf(namespace, { gate, level })))
      const wanted = [4, 7, 0, 3, 1, 6, 5, 8, 2].map((at) => made[at]!)
      assert.deepStrictEqual(yield* passing(gate, made.length), wanted)
    }))

  for (const level of Lane.levels.slice(1)) {
    const patience = Lane.patienceMillis[level]
    it.effect(`R8 gates: what is ${Lane.wordOf[level]} lets better ones pass until its patience ends`, () =>
      Effect.gen(function* () {
        yield* inThePresent(options)
        yield* recoverAll
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1)
        const submit = (level: Lane.Level) => submitOne(specOf(namespace, { gate, level }))
        const holder = yield* submit(0)
        yield* admitAll(gate.key)
        const patient = yield* submit(level)
        yield* later(Duration.millis(patience - 30_000))
        const sooner = yield* submit(0)
        yield* later(Duration.minutes(1))
        const tooLate = yield* submit(0)
        const next = yield* submit(level)
        const why = Option.getOrThrow(yield* runs.why(patient))
        assert.deepInclude(why, { _tag: "GateFull", ahead: 1 })
        yield* cancelled(holder)
        assert.deepStrictEqual(yield* passing(gate, 4), [sooner, patient, tooLate, next])
      }))
  }

  it.effect("R8 gates: of two levels with patience left that goes first which has less", () =>
    Effect.gen(function* () {
      yield* inThePresent(options)
      yield* recoverAll
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const submit = (level: Lane.Level) => submitOne(specOf(namespace, { gate, level }))
      const bulk = yield* submit(3)
      yield* later(Duration.minutes(45))
      const low = yield* submit(2)
      yield* later(Duration.minutes(10))
      const second = yield* submit(2)
      assert.deepStrictEqual(yield* passing(gate, 3), [low, bulk, second])
    }))

  it.effect("R8 gates: no level starves, however many better ones keep coming", () =>
    Effect.gen(function* () {
      yield* inThePresent(options)
      yield* recoverAll
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const idle = yield* submitOne(specOf(namespace, { gate, level: 4 }))
      const passed: Array<RunId> = []
      // Each hour two come, and one can go.
      for (const _ of times(8)) {
        yield* submitAll(times(2).map(() => specOf(namespace, { gate, level: 0 })))
        passed.push(...yield* passing(gate, 1))
        yield* later(Duration.hours(1))
      }
      yield* submitOne(specOf(namespace, { gate, level: 0 }))
      // Those that came before its patience was over may be as many as they like.
      passed.push(...yield* passing(gate, 6))
      assert.include(passed, idle)
    }))

  it.effect("R8 gates: of a level nobody is passed by, though the clock is set back", () =>
    Effect.gen(function* () {
      yield* inThePresent(options)
      yield* recoverAll
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const made: Array<RunId> = []
      for (const minutes of [0, 10, -20, 5]) {
        yield* later(Duration.minutes(minutes))
        made.push(yield* submitOne(specOf(namespace, { gate })))
      }
      assert.deepStrictEqual(yield* passing(gate, made.length), made)
      yield* elapse(Duration.minutes(5))
    }))

  it.effect("R8 gates: as many hold places as there are, retries and releases included", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 3)
      yield* submitAll(times(6).map(() => specOf(namespace, { gate })))
      assert.strictEqual((yield* admitAll(gate.key)).length, 3)
      const { grants: [a, b, c] } = yield* hand.claim(5)
      assert.isDefined(c)
      yield* hand.settle(retry(a!, 60_000), release(b!))
      yield* assertState(a!.run, "Scheduled")
      assert.deepEqual(yield* admitAll(gate.key), [], "between attempts a run keeps its place")
      yield* hand.settle(succeed(c!))
      assert.strictEqual((yield* admitAll(gate.key)).length, 1)
      yield* elapse(Duration.seconds(61))
      assert.notInclude([...yield* promoteAll], gate.key, "a retry does not pass the gate again")
      yield* assertState(a!.run, "Ready")
      assert.deepEqual(yield* admitAll(gate.key), [])
    }))

  it.effect("R8 gates: a lost run keeps its place until it has ended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [first] = yield* submitAll(
        times(2).map(() => specOf(namespace, { gate, isAtMostOnce: true })),
      )
      yield* admitAll(gate.key)
      yield* hand.one
      yield* hand.leave
      const { freed, states } = yield* recoverAll
      assert.strictEqual(states.get(first!), "Ready")
      assert.isFalse(freed.has(gate.key))
      assert.deepEqual(yield* admitAll(gate.key), [])
      const next = yield* joined(namespace)
      assert.isTrue(yield* next.start(yield* next.one))
      yield* next.leave
      const ended = yield* recoverAll
      assert.strictEqual(ended.states.get(first!), "Failed")
      assert.isTrue(ended.freed.has(gate.key))
      assert.strictEqual((yield* admitAll(gate.key)).length, 1)
    }))

  it.effect("R8 gates: many of all kinds, asked together, are decided about as each alone", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const wanted = [
        [gateOf(namespace, 1), 1, 0],
        [gateOf(namespace, 3), 3, 0],
        [gateOf(namespace, 200), 150, 0],
        [gateOf(namespace, 1, "discard"), 1, 149],
        [gateOf(namespace, 1, "latest"), 1, 149],
        [gateOf(namespace, 1, "replace"), 1, 149],
      ] as const
      const gates = wanted.map(([gate]) => gate)
      const made = new Map(gates.map(({ key }) => [key, new Set<RunId>()]))
      for (const gate of gates) {
        const some = yield* submitAll(times(150).map(() => specOf(namespace, { gate })))
        for (const run of some) made.get(gate.key)!.add(run)
      }
      const admissions = yield* runs.admit([...gates, gates[0]!].map(({ key }) => key))
      for (const [{ key }, ready, discarded] of wanted) {
        const own = admissions.filter(({ run }) => made.get(key)!.has(run))
        const count = (state: string) => own.filter((each) => each.state === state).length
        assert.deepStrictEqual([count("Ready"), count("Discarded")], [ready, discarded], key)
      }
      assert.deepEqual(yield* runs.admit(gates.map(({ key }) => key)), [])
    }))

  it.effect("R8 gates: discard ends what comes while the gate is full", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1, "discard")
      const [first, second, third] = yield* submitAll(
        times(3).map(() => specOf(namespace, { gate })),
      )
      assert.deepEqual(
        (yield* admitAll(gate.key)).toSorted((a, b) => a.run - b.run),
        [
          { run: first!, state: "Ready" },
          { run: second!, state: "Discarded" },
          { run: third!, state: "Discarded" },
        ],
      )
      const view = yield* found(third!)
      assert.deepInclude(view, { state: "Discarded", attempt: 0, fence: Fence.make(0) })
      assert.isDefined(view.finishedAt)
      yield* hand.settle(succeed(yield* hand.one))
      const fourth = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(yield* admitAll(gate.key), [{ run: fourth, state: "Ready" }])
    }))

  it.effect("R8 gates: the run admitted last says how many places there are", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { key } = gateOf(namespace, 1)
      const withPlaces = (places: number) =>
        submitOne(specOf(namespace, { gate: { key, places, whenFull: "wait" } }))
      const runs = [yield* withPlaces(1), yield* withPlaces(3), yield* withPlaces(3)]
      const last = yield* withPlaces(2)
      assert.deepStrictEqual(ids(yield* admitAll(key)), runs)
      yield* cancelled(runs[0]!)
      assert.deepEqual(yield* admitAll(key), [], "two hold, and it allows two")
      yield* cancelled(runs[1]!)
      assert.deepStrictEqual(ids(yield* admitAll(key)), [last])
    }))

  it.effect("R8 gates: one gate does not hold up another", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [a, b] = [gateOf(namespace, 1), gateOf(namespace, 1)]
      const [first, , other] = yield* submitAll(
        [a, a, b].map((gate) => specOf(namespace, { gate })),
      )
      const admitted = yield* runs.admit([a.key, b.key, gateOf(namespace, 1).key])
      assert.deepStrictEqual(sorted(ids(admitted)), sorted([first!, other!]))
    }))

  it.effect("R8 gates: openGates names those at which somebody can pass", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [open, full, discarding, never] = [
        gateOf(namespace, 1),
        gateOf(namespace, 1),
        gateOf(namespace, 1, "discard"),
        gateOf(namespace, 1),
      ]
      const at = (gate: typeof open) => submitOne(specOf(namespace, { gate: gate! }))
      yield* at(full)
      yield* at(discarding)
      yield* admitAll(full!.key)
      yield* admitAll(discarding!.key)
      yield* at(full)
      yield* at(discarding)
      yield* at(open)
      const keys = yield* runs.openGates(100_000)
      assert.include(keys, open!.key)
      assert.include(keys, discarding!.key, "its waiting run can be discarded")
      assert.notInclude(keys, full!.key)
      assert.notInclude(keys, never!.key)
      assert.isAtMost((yield* runs.openGates(1)).length, 1)
      yield* admitAll(open!.key)
      assert.notInclude(yield* runs.openGates(100_000), open!.key)
    }))

  it.effect("R8 gates: decisions that race never let in more than there are places", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 3)
      const made = yield* submitAll(times(36).map(() => specOf(namespace, { gate })))
      const hands = yield* together(times(4).map(() => joined(namespace)))
      // Those whose admission was answered and whose report was not yet sent: at most the holders.
      const holding = new Set<RunId>()
      // Whoever let a run in may have the answer after another has claimed and ended it.
      const over = new Set<RunId>()
      let ended = 0
      const admitting = Effect.gen(function* () {
        for (const { run } of yield* runs.admit([gate.key])) {
          if (!over.has(run)) holding.add(run)
          assert.isAtMost(holding.size, gate.places)
        }
      })
      const working = (hand: Hand) =>
        Effect.gen(function* () {
          for (let idle = 0; ended < made.length && idle < 400;) {
            yield* admitting
            const { grants } = yield* hand.claim(2)
            idle = grants.length === 0 ? idle + 1 : 0
            for (const grant of grants) {
              yield* admitting
              const holders = yield* runs.list({ namespace, states: ["Running"], limit: 100 })
              assert.isAtMost(holders.length, gate.places)
              over.add(grant.run)
              holding.delete(grant.run)
              yield* hand.settle(succeed(grant))
              ended++
            }
            yield* Effect.yieldNow
          }
        })
      yield* together(hands.map(working))
      assert.deepInclude(yield* runs.counts(namespace), { Succeeded: made.length })
    }))

  it.effect("R8 gates: decisions that race discard all but one", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      for (const _ of times(4)) {
        const gate = gateOf(namespace, 1, "discard")
        const made = yield* submitAll(times(5).map(() => specOf(namespace, { gate })))
        const admissions = (yield* together(times(6).map(() => runs.admit([gate.key])))).flat()
        assert.deepStrictEqual(sorted(ids(admissions)), sorted(made), "each is decided once")
        assert.strictEqual(admissions.filter(({ state }) => state === "Ready").length, 1)
      }
    }))

  it.effect("R8 gates: gates named in any order by many at once do not lock each other up", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gates = times(6).map(() => gateOf(namespace, 1))
      const made = yield* submitAll(gates.map((gate) => specOf(namespace, { gate })))
      const keys = gates.map(({ key }) => key)
      const admitted = yield* together(
        times(6).map((n) =>
          runs.admit([...keys.slice(n), ...keys.slice(0, n)].slice(n % 2 ? 0 : 1))
        ),
      )
      const rest = yield* runs.admit(keys)
      assert.deepStrictEqual(sorted(ids([...admitted.flat(), ...rest])), sorted(made))
    }))
}

/** R38: what deadlines decide among those that wait at a gate. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Gate } from "../../domain/Blocking.ts"
import * as FanIn from "../../domain/FanIn.ts"
import * as Group from "../../domain/Group.ts"
import * as Lane from "../../domain/Lane.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import type { RunId } from "../../domain/RunId.ts"
import * as Share from "../../domain/Share.ts"
import type { RunSpec } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import { type Name, taskIn, words } from "../orders.ts"
import { apart, definitionOf, fireOne, firing, put } from "../triggers/triggers.ts"
import {
  admitAll,
  assertState,
  cancelled,
  changed,
  type Elapse,
  expireAll,
  fresh,
  freshNamespace,
  gateOf,
  greet,
  ids,
  inThePresent,
  joined,
  type Options,
  promoteAll,
  putDown,
  recoverAll,
  resumed,
  specOf,
  submitAll,
  submitOne,
  suspended,
  type Tests,
  times,
} from "../world.ts"

const within = (seconds: number) => ({ deadlineMillis: seconds * 1000 })
const days = 86_400

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>, options: Options): void => {
  /** Turns follow the clock with the sweep. */
  const later = (duration: Duration.Duration) => Effect.andThen(elapse(duration), recoverAll)

  /** No turn was given by a clock that was ahead of this one. */
  const begin = Effect.andThen(inThePresent(options), later(Duration.hours(1)))

  /** Its places are taken; those who have them. */
  const taken = (namespace: Namespace, gate: Gate) =>
    Effect.gen(function* () {
      const holders = yield* submitAll(
        times(gate.places).map(() => specOf(namespace, { gate, level: 0 })),
      )
      assert.strictEqual((yield* admitAll(gate.key)).length, gate.places)
      return holders
    })

  const full = (namespace: Namespace, places: number) =>
    Effect.gen(function* () {
      const gate = gateOf(namespace, places)
      return [gate, yield* taken(namespace, gate)] as const
    })

  /** All that wait there, one after the other, once one of the holders has gone. */
  const passing = (gate: Gate, holders: ReadonlyArray<RunId>) =>
    Effect.gen(function* () {
      const order: Array<RunId> = []
      yield* cancelled(holders[0]!)
      for (;;) {
        const admitted = ids(yield* admitAll(gate.key))
        if (admitted.length === 0) return order
        assert.strictEqual(admitted.length, 1)
        order.push(...admitted)
        yield* cancelled(admitted[0]!)
      }
    })

  /** Those with these deadlines, in seconds, in the order in which they pass. */
  const passingOf = (
    name: Name,
    places: number,
    level: Lane.Level,
    deadlines: ReadonlyArray<number | undefined>,
  ) =>
    Effect.gen(function* () {
      yield* begin
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, name)
      const [gate, holders] = yield* full(namespace, places)
      const made = yield* submitAll(
        deadlines.map((seconds) =>
          specOf(namespace, {
            task,
            level,
            gate,
            ...(seconds !== undefined && within(seconds)),
          })
        ),
      )
      const order = yield* passing(gate, holders)
      return order.map((run) => deadlines[made.indexOf(run)])
    })

  it.effect("R38 order at gates: by age nobody of a level is passed, whatever the deadlines", () =>
    Effect.gen(function* () {
      const deadlines = [undefined, 90, 50, 20, undefined, 40]
      for (const places of [1, 3]) {
        assert.deepStrictEqual(yield* passingOf("age", places, 1, deadlines), deadlines)
      }
    }))

  it.effect("R38 order at gates: by deadline the earliest passes first, however far off", () =>
    Effect.gen(function* () {
      for (const places of [1, 3]) {
        for (const level of [0, 1, 4] as const) {
          assert.deepStrictEqual(
            yield* passingOf("deadline", places, level, [7000, 90, 15_000, 20, 40]),
            [20, 40, 90, 7000, 15_000],
          )
        }
        assert.deepStrictEqual(
          yield* passingOf("deadline", places, 1, [90, undefined, 30]),
          [30, undefined, 90],
          "one without goes as if it were the end of its patience",
        )
      }
    }))

  it.effect("R38 order at gates: as usual a deadline nearer than the patience, not in a queue", () =>
    Effect.gen(function* () {
      const deadlines = [undefined, 50, 20, 90, 40, undefined]
      assert.deepStrictEqual(yield* passingOf("usual", 1, 1, deadlines), deadlines)
      assert.deepStrictEqual(
        yield* passingOf("usual", 2, 1, deadlines),
        [20, 40, 50, undefined, 90, undefined],
      )
    }))

  /** Ways in which a run comes to a gate. */
  type Way = (spec: RunSpec) => Effect.Effect<RunId, unknown, Storage | R>
  const ways: Readonly<Record<string, Way>> = {
    submitted: submitOne,
    "submitted with a key": (spec) => submitOne({ ...spec, idempotencyKey: fresh("key") }),
    "due later": (spec) =>
      Effect.gen(function* () {
        const run = yield* submitOne({ ...spec, delayMillis: 2000 })
        yield* later(Duration.seconds(4))
        yield* promoteAll
        return run
      }),
    "resumed before its first grant": (spec) =>
      Effect.gen(function* () {
        const run = yield* submitOne(spec)
        yield* suspended(run)
        yield* resumed(run)
        return run
      }),
    fired: (spec) =>
      Effect.gen(function* () {
        const view = yield* put(definitionOf(spec.namespace))
        yield* later(Duration.millis(apart + 1000))
        const item = firing(view)
        const fired = yield* fireOne({ ...item, fire: { ...item.fire!, spec } })
        if (fired._tag !== "Fired") return assert.fail(fired._tag)
        return fired.run
      }),
    "asked for": (spec) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const { id: trigger, revision } = yield* put(definitionOf(spec.namespace))
        const request = { kind: "manual", request: fresh("request"), by: undefined } as const
        const [asked] = yield* triggers.ask(
          [{ trigger, revision, ...request, slot: undefined, spec }],
          false,
        )
        if (asked?._tag !== "Fired") return assert.fail(asked?._tag)
        return asked.run
      }),
  }
  /** One that is there first, and one that comes after it, of a task with this order. */
  const meetings = [
    ["usual", 1, {}, within(40), false],
    ["usual", 3, {}, within(40), true],
    ["age", 3, {}, within(40), false],
    // Both before the end of their patience, so that each has to count.
    ["deadline", 1, within(57), within(40), true],
    ["deadline", 3, within(57), within(40), true],
  ] as const
  for (const [name, places, rival, hurry, isPassed] of meetings) {
    for (const [way, made] of Object.entries(ways)) {
      it.effect(`R38 order at gates: ${words[name]}, at one of ${places}, when it is ${way}`, () =>
        Effect.gen(function* () {
          yield* begin
          const namespace = freshNamespace()
          const task = yield* taskIn(namespace, name)
          const [gate, holders] = yield* full(namespace, places)
          const calm = yield* submitOne(specOf(namespace, { ...rival, task, gate }))
          const hurried = yield* made(specOf(namespace, { ...hurry, task, gate }))
          yield* assertState(hurried, "Blocked")
          const { runs } = yield* Storage
          const why = Option.getOrThrow(yield* runs.why(hurried))
          assert.deepInclude(why, { _tag: "GateFull", ahead: isPassed ? 0 : 1 })
          assert.deepStrictEqual(
            yield* passing(gate, holders),
            isPassed ? [hurried, calm] : [calm, hurried],
          )
        }))
    }
  }

  it.effect("R38 order at gates: children go by their deadlines, several at a time", () =>
    Effect.gen(function* () {
      yield* begin
      const { runs } = yield* Storage
      for (const [name, places] of [["usual", 1], ["usual", 2], ["deadline", 1]] as const) {
        const namespace = freshNamespace()
        const task = yield* taskIn(namespace, name)
        const deadlines = [50, 20, 40, 30]
        const answer = yield* runs.submitFamily({
          parent: specOf(namespace),
          children: deadlines.map((seconds) => specOf(namespace, { task, ...within(seconds) })),
          places,
        })
        if (answer._tag === "Conflict") return assert.fail("it is new")
        const gate = FanIn.gate(answer.run, places)
        const order: Array<number> = []
        for (const _ of deadlines) {
          // Each lets as many pass as there are places.
          const [admitted, ...more] = yield* admitAll(gate.key)
          for (const { run } of [admitted!, ...more]) {
            order.push(deadlines[answer.children.indexOf(run)]!)
            yield* cancelled(run)
          }
          if (order.length === deadlines.length) break
        }
        const first = order.slice(0, places).sort()
        const rest = order.slice(places).sort()
        const sorted = name === "usual" && places === 1 ? deadlines : deadlines.toSorted()
        assert.deepStrictEqual(first, sorted.slice(0, places).sort(), `${name}, ${places}`)
        assert.deepStrictEqual(rest, sorted.slice(places).sort())
      }
    }))

  it.effect("R38 order at gates: where tasks meet, each goes by its own order", () =>
    Effect.gen(function* () {
      yield* begin
      for (const limit of [1, 2]) {
        const namespace = freshNamespace()
        const gate = Group.gate(namespace, { name: "billing", limit })
        const holders = yield* taken(namespace, gate)
        const of = (name: Name) => taskIn(namespace, name, `task-${name}`)
        const tasks = {
          usual: yield* of("usual"),
          age: yield* of("age"),
          deadline: yield* of("deadline"),
        }
        const submit = (name: Name, seconds: number) =>
          submitOne(specOf(namespace, { gate, task: tasks[name], ...within(seconds) }))
        const age = yield* submit("age", 20)
        const far = yield* submit("deadline", 80)
        const usual = yield* submit("usual", 30)
        const near = yield* submit("deadline", 40)
        assert.deepStrictEqual(
          yield* passing(gate, holders),
          limit === 1 ? [near, age, usual, far] : [usual, near, age, far],
        )
      }
    }))

  it.effect("R38 order at gates: a level is its patience, and a nearer deadline passes a better one", () =>
    Effect.gen(function* () {
      yield* begin
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "usual")
      const [gate, holders] = yield* full(namespace, 2)
      const submit = (level: Lane.Level, hurry: Partial<RunSpec> = {}) =>
        submitOne(specOf(namespace, { task, gate, level, ...hurry }))
      const usual = yield* submit(1)
      const low = yield* submit(2, within(45))
      const idle = yield* submit(4, within(300))
      const calm = yield* submit(2)
      const urgent = yield* submit(0, within(20))
      assert.deepStrictEqual(yield* passing(gate, holders), [urgent, low, usual, idle, calm])
    }))

  it.effect("R38 order at gates: by deadline alone nobody waits for ever", () =>
    Effect.gen(function* () {
      yield* begin
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "deadline")
      const [gate] = yield* full(namespace, 1)
      const far = yield* submitOne(
        specOf(namespace, { task, gate, level: 2, ...within(30 * days) }),
      )
      // More keep coming, each with an earlier deadline.
      const others = () => submitOne(specOf(namespace, { task, gate, level: 0, ...within(60) }))
      for (const _ of times(5)) {
        yield* later(Duration.millis(Lane.longestMillis / 5))
        yield* expireAll
        yield* others()
      }
      yield* later(Duration.millis(1))
      const { runs } = yield* Storage
      const tooLate = yield* others()
      const why = Option.getOrThrow(yield* runs.why(tooLate))
      assert.deepInclude(why, { _tag: "GateFull", ahead: 2 }, "the one before it, and the patient")
      const ofFar = Option.getOrThrow(yield* runs.why(far))
      assert.deepInclude(ofFar, { _tag: "GateFull", ahead: 0 })
    }))

  it.effect("R38 order at gates: what has begun has no deadline to be in a hurry for", () =>
    Effect.gen(function* () {
      yield* begin
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "deadline")
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 2)
      const begun = yield* submitOne(specOf(namespace, { task, gate, ...within(30) }))
      yield* admitAll(gate.key)
      const grant = yield* hand.one
      assert.isTrue(yield* hand.start(grant))
      yield* suspended(begun)
      yield* hand.settle(putDown(grant, "1"))
      const holders = yield* taken(namespace, gate)
      yield* resumed(begun)
      yield* assertState(begun, "Blocked")
      const sooner = yield* submitOne(specOf(namespace, { task, gate, ...within(50) }))
      const last = yield* submitOne(specOf(namespace, { task, gate, ...within(80) }))
      assert.deepStrictEqual(yield* passing(gate, holders), [sooner, begun, last])
    }))

  it.effect("R38 order at gates: a deadline that is set there counts, and one taken away does not", () =>
    Effect.gen(function* () {
      yield* begin
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "deadline")
      const [gate, holders] = yield* full(namespace, 1)
      const submit = (hurry: Partial<RunSpec> = {}) =>
        submitOne(specOf(namespace, { task, gate, ...hurry }))
      const none = yield* submit()
      const eighty = yield* submit(within(80))
      const forty = yield* submit(within(40))
      const fifty = yield* submit(within(50))
      for (
        const [run, deadlineMillis] of [[none, 20_000], [forty, null], [eighty, 30_000]] as const
      ) assert.strictEqual((yield* changed(run, { deadlineMillis })).answer, "confirmed")
      assert.deepStrictEqual(yield* passing(gate, holders), [none, eighty, fifty, forty])
    }))

  it.effect("R38 order at gates: a level that is set there counts as far as the deadline lets it", () =>
    Effect.gen(function* () {
      yield* begin
      const level = 0
      for (const name of ["usual", "deadline"] as const) {
        const namespace = freshNamespace()
        const task = yield* taskIn(namespace, name)
        const [gate, holders] = yield* full(namespace, 2)
        const idle = yield* submitOne(specOf(namespace, { task, gate, level: 4, ...within(7200) }))
        const bulk = yield* submitOne(specOf(namespace, { task, gate, level: 3 }))
        assert.strictEqual((yield* changed(idle, { level })).answer, "confirmed")
        assert.deepStrictEqual(
          yield* passing(gate, holders),
          name === "usual" ? [idle, bulk] : [bulk, idle],
          name,
        )
      }
    }))

  it.effect("R38 order at gates: another order counts for what comes, or is changed, from then on", () =>
    Effect.gen(function* () {
      yield* begin
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "usual")
      const [gate, holders] = yield* full(namespace, 1)
      const submit = (seconds: number) =>
        submitOne(specOf(namespace, { task, gate, ...within(seconds) }))
      const [first, second] = [yield* submit(50), yield* submit(40)]
      yield* taskIn(namespace, "deadline")
      const third = yield* submit(30)
      yield* changed(second, { level: 1 })
      assert.deepStrictEqual(yield* passing(gate, holders), [third, second, first])
    }))

  it.effect("R38 order at gates: keys take their turns first, and the runs of each go by deadline", () =>
    Effect.gen(function* () {
      yield* begin
      const { runs } = yield* Storage
      for (const [name, limit] of [["deadline", 1], ["usual", 2], ["usual", 1]] as const) {
        const namespace = freshNamespace()
        const task = yield* taskIn(namespace, name)
        const gateOf = (key: string) => Share.gate(namespace, greet, { _tag: "Fair", limit }, key)
        const submit = (key: string, seconds: number) =>
          submitOne(specOf(namespace, { task, gate: gateOf(key), ...within(seconds) }))
        const flood = [yield* submit("a", 50), yield* submit("a", 20), yield* submit("a", 40)]
        const other = [yield* submit("b", 59), yield* submit("b", 55)]
        const order: Array<RunId> = []
        while (order.length < 5) {
          const admitted = ids(yield* runs.admit(["a", "b"].map((key) => gateOf(key).key)))
          assert.isNotEmpty(admitted)
          order.push(...admitted)
          for (const run of admitted) yield* cancelled(run)
        }
        const of = (key: ReadonlyArray<RunId>) => order.filter((run) => key.includes(run))
        const byAge = name === "usual" && limit === 1
        assert.deepStrictEqual(
          of(flood),
          byAge ? flood : [flood[1], flood[2], flood[0]],
          `${name}, ${limit}`,
        )
        assert.deepStrictEqual(of(other), byAge ? other : other.toReversed())
        // Neither has had two more than the other, while both had any.
        for (const at of [2, 4]) {
          assert.strictEqual(order.slice(0, at).filter((run) => flood.includes(run)).length, at / 2)
        }
      }
    }))
}

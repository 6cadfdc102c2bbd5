/** R25: runs that an operator has go sooner, or later. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import * as Lane from "../../domain/Lane.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  changed,
  type Elapse,
  expireAll,
  found,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  handOver,
  ids,
  inThePresent,
  joined,
  type Options,
  promoteAll,
  recoverAll,
  resumed,
  retry,
  revived,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
} from "../world.ts"
import { waysToWait, waysToWaitAgain, waysToWaitLater } from "../waysToWait.ts"

const urgent = { level: 0 } as const

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>, options: Options): void => {
  /** Whether it goes before those that became ready before it, at their level. */
  const assertFirst = (namespace: Namespace, run: RunId) =>
    Effect.gen(function* () {
      const hand = yield* joined(namespace)
      assert.strictEqual((yield* hand.one).run, run)
    })

  it.effect("R25 level set: among ready runs it goes by that, sooner or later", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [a, b, c, d] = yield* submitAll(times(4).map(() => specOf(namespace)))
      assert.deepStrictEqual(yield* changed(c!, urgent), { answer: "confirmed", freed: [] })
      yield* changed(a!, { level: 2 })
      const { grants } = yield* hand.claim(4)
      assert.deepStrictEqual(ids(grants), [c!, b!, d!, a!], "also in the order of the answer")
      assert.isTrue(grants[0]!.isCareful)
    }))

  it.effect("R25 level set: beside others of that level it goes by when it became ready", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const low = yield* submitOne(specOf(namespace, { level: 2 }))
      yield* elapse(Duration.seconds(5))
      const usual = yield* submitOne(specOf(namespace))
      yield* changed(low, { level: 1 })
      assert.deepStrictEqual(ids((yield* hand.claim(2)).grants), [low, usual])
    }))

  it.effect("R25 level set: it is cancelled where it stands then", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace))
      yield* changed(run, urgent)
      assert.strictEqual((yield* cancelled(run)).answer, "confirmed")
      yield* assertState(run, "Cancelled")
    }))

  it.effect("R25 level set: both levels are told, and who set it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.notProperty(yield* found(run), "submittedLevel")
      yield* changed(run, { level: 0, by: "Ada" })
      assert.deepInclude(yield* found(run), { level: 0, submittedLevel: 1, state: "Ready" })
      yield* changed(run, { level: 4 })
      assert.deepInclude(yield* found(run), { level: 4, submittedLevel: 1 })
      const listed = yield* runs.list({ namespace, states: ["Ready"], limit: 9 })
      assert.deepInclude(listed[0]!, { id: run, level: 4, submittedLevel: 1 })
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepInclude(yield* found(run), { level: 4, submittedLevel: 1, state: "Succeeded" })
      const said = (yield* runs.events(run)).filter(({ kind }) => kind === "LevelSet")
      assert.deepStrictEqual(said.map(({ by, detail }) => [detail, by]), [
        ["usual → urgent", "Ada"],
        ["urgent → idle", undefined],
      ])
    }))

  it.effect("R25 level set: back to what it was, it is as it was", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const [first, second] = yield* submitAll(times(2).map(() => specOf(namespace)))
      yield* elapse(Duration.seconds(5))
      yield* changed(first!, { level: 3 })
      yield* changed(first!, { level: 1 })
      assert.notProperty(yield* found(first!), "submittedLevel")
      const hand = yield* joined(namespace)
      assert.deepStrictEqual(ids((yield* hand.claim(2)).grants), [first!, second!])
    }))

  it.effect("R25 level set: it has waited as long as it has", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const idle = yield* submitOne(specOf(namespace, { level: 4 }))
      yield* elapse(Duration.minutes(9))
      const usual = yield* submitOne(specOf(namespace))
      yield* elapse(Duration.seconds(30))
      yield* changed(idle, { level: 2 })
      const hand = yield* joined(namespace)
      // It is overdue half a minute from now, as is the other.
      yield* elapse(Duration.seconds(50))
      assert.deepStrictEqual(ids((yield* hand.claim(2)).grants), [idle, usual])
    }))

  const ways: ReturnType<typeof waysToWait<R>> = {
    ...waysToWait(elapse),
    ...waysToWaitAgain(elapse),
    ...waysToWaitLater(elapse),
    "in its lane, with a deadline": (namespace, spec) =>
      Effect.map(
        submitOne(specOf(namespace, { ...spec, deadlineMillis: 50_000 })),
        (run) => [run, Effect.void],
      ),
  }
  for (const [where, way] of Object.entries(ways)) {
    it.effect(`R25 level set: of one that waits ${where}`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const elsewhere = Lane.Lane.make(`${namespace}:elsewhere`)
        const [run, on] = yield* way(namespace, { lane: Lane.ofTask(namespace, greet) })
        const { state } = yield* found(run)
        assert.strictEqual((yield* changed(run, urgent)).answer, "confirmed")
        assert.deepInclude(yield* found(run), { state, level: 0, submittedLevel: 1 })
        yield* on
        yield* assertState(run, "Ready")
        // It is found where it stands.
        yield* suspended(run)
        yield* resumed(run)
        yield* assertState(run, "Ready")
        const usual = yield* submitOne(specOf(namespace, { lane: elsewhere, level: 1 }))
        yield* elapse(Duration.seconds(1))
        const sooner = yield* submitOne(specOf(namespace, { lane: elsewhere, level: 0 }))
        const hand = yield* joined(namespace)
        const lanes = [elsewhere, Lane.ofTask(namespace, greet)]
        const order: Array<RunId> = []
        for (const _ of times(3)) order.push(...ids((yield* hand.claim(1, { lanes })).grants))
        assert.deepStrictEqual(order, [run, sooner, usual])
      }))
  }

  it.effect("R25 level set: at a gate it passes those that were submitted before", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const made = yield* submitAll(times(3).map(() => specOf(namespace, { gate })))
      yield* admitAll(gate.key)
      yield* changed(made[2]!, urgent)
      yield* cancelled(made[0]!)
      assert.deepStrictEqual(ids(yield* admitAll(gate.key)), [made[2]!])
    }))

  it.effect("R25 level set: at a gate it has waited as long as it has", () =>
    Effect.gen(function* () {
      yield* inThePresent(options)
      yield* recoverAll
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const idle = yield* submitOne(specOf(namespace, { gate, level: 4 }))
      yield* elapse(Duration.seconds(570))
      yield* recoverAll
      const usual = yield* submitOne(specOf(namespace, { gate }))
      // Its patience ends half a minute from now, and that of the other in a minute.
      yield* changed(idle, { level: 2 })
      assert.deepStrictEqual(ids(yield* admitAll(gate.key)), [idle])
      yield* cancelled(idle)
      assert.deepStrictEqual(ids(yield* admitAll(gate.key)), [usual])
    }))

  it.effect("R25 level set: it stays so in all attempts, and when it is revived", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* changed(run, urgent)
      yield* hand.settle(retry(yield* hand.one))
      yield* elapse(Duration.seconds(1))
      yield* promoteAll
      const usual = yield* submitOne(specOf(namespace))
      const again = yield* hand.one
      assert.strictEqual(again.run, run)
      yield* hand.settle(giveUp(again))
      yield* revived(run)
      assert.deepInclude(yield* found(run), { state: "Ready", level: 0 })
      yield* assertFirst(namespace, run)
      yield* assertFirst(namespace, usual)
    }))

  it.effect("R25 level set: one with a deadline expires by it, whatever its level", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const made = yield* submitAll(
        times(2).map(() => specOf(namespace, { deadlineMillis: 40_000 })),
      )
      yield* changed(made[0]!, { level: 4 })
      yield* changed(made[1]!, urgent)
      yield* elapse(Duration.seconds(50))
      yield* expireAll
      for (const run of made) yield* assertState(run, "Expired")
    }))

  for (const [when, way] of Object.entries(waysToWaitLater(elapse))) {
    it.effect(`R25 level set: of one that is held, it goes by it ${when}`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const elsewhere = Lane.Lane.make(`${namespace}:elsewhere`)
        const [run, on] = yield* way(namespace, { lane: Lane.ofTask(namespace, greet) })
        assert.strictEqual((yield* changed(run, urgent)).answer, "confirmed")
        const usual = yield* submitOne(specOf(namespace, { lane: elsewhere, level: 1 }))
        yield* on
        const hand = yield* joined(namespace)
        const lanes = [elsewhere, Lane.ofTask(namespace, greet)]
        const { grants } = yield* hand.claim(2, { lanes })
        assert.deepStrictEqual(ids(grants), [run, usual])
        assert.isTrue(grants[0]!.isCareful)
      }))
  }

  it.effect("R25 level set: whoever holds it goes on", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants: [first, second, third] } = yield* hand.claim(3)
      assert.isTrue(yield* hand.start(first!))
      for (const { run } of [first!, second!, third!]) {
        assert.deepStrictEqual(yield* changed(run, { level: 0, by: "Ada" }), {
          answer: "confirmed",
          freed: [],
        })
        assert.deepInclude(yield* found(run), {
          state: "Running",
          level: 0,
          submittedLevel: 1,
          revision: 2,
        })
      }
      assert.isTrue(yield* hand.start(second!))
      const settled = yield* hand.claim(1, { reports: [succeed(first!), succeed(second!)] })
      assert.deepStrictEqual(settled.settled, ["applied", "applied"])
      assert.deepStrictEqual((yield* hand.settle(giveUp(third!))).settled, ["applied"])
      assert.deepInclude(yield* found(third!.run), { state: "Failed", level: 0 })
      const said = yield* runs.events(third!.run)
      assert.deepStrictEqual(said.map(({ by, kind }) => [kind, by]), [
        ["Submitted", undefined],
        ["Claimed", undefined],
        ["LevelSet", "Ada"],
        ["Failed", undefined],
      ])
    }))

  it.effect("R25 level set: refused of what waits for nothing, and changes nothing", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(3)
      assert.deepStrictEqual(sorted(ids(grants)), made)
      const [stopping, awaiting, ended] = grants
      yield* cancelled(stopping!.run)
      yield* hand.settle(handOver(awaiting!), succeed(ended!))
      const parent = yield* runs.submitFamily({
        parent: specOf(namespace),
        children: [specOf(namespace)],
        places: 1,
      })
      if (parent._tag === "Conflict") return assert.fail("it is new")
      for (const run of [stopping!.run, awaiting!.run, parent.run]) {
        assert.strictEqual((yield* changed(run, urgent)).answer, "refused")
        assert.deepInclude(yield* found(run), { level: 1 })
      }
      assert.strictEqual((yield* changed(ended!.run, urgent)).answer, "ended")
      assert.isTrue(Option.isNone(yield* runs.change(RunId.make(2 ** 52), urgent)))
    }))
}

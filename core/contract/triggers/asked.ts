/**
 * Runs that somebody asks for: T13.
 *
 * Tried, and caught:
 *
 * | law | mistake                                                                             |
 * | --- | ----------------------------------------------------------------------------------- |
 * | T13 | requests not kept; a slot that fired is filled in; one still due is; dry ones count |
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect } from "effect"
import type { Namespace } from "../../domain/Namespace.ts"
import type { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import type { Asked, Asking, TriggerView } from "../../services/TriggerStorage.ts"
import {
  apart,
  definitionOf,
  fireOne,
  firing,
  put,
  recordsOf,
  runsOf,
  second,
  viewOf,
} from "./triggers.ts"
import {
  type Elapse,
  expireAll,
  found,
  fresh,
  freshNamespace,
  gateOf,
  specOf,
  type Tests,
  times,
  together,
} from "../world.ts"

const manual = (view: TriggerView, differently: Partial<Asking> = {}): Asking => ({
  trigger: view.id,
  revision: view.revision,
  kind: "manual",
  request: fresh("request"),
  by: undefined,
  slot: undefined,
  spec: specOf(view.definition.namespace),
  ...differently,
})

const backfill = (view: TriggerView, slot: number, request = "gap"): Asking => ({
  ...manual(view),
  kind: "backfill",
  request,
  slot,
})

const runOf = (answer: Asked | undefined): RunId => {
  if (answer?._tag !== "Fired") return assert.fail(answer?._tag)
  return answer.run
}

const ask = (...items: ReadonlyArray<Asking>) =>
  Storage.use(({ triggers }) => triggers.ask(items, false))

export const asked = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const dueTrigger = (namespace: Namespace, slots: number) =>
    Effect.gen(function* () {
      const view = yield* put(definitionOf(namespace))
      yield* elapse(Duration.millis(slots * apart + 2 * second))
      return yield* viewOf(view)
    })

  it.effect("T13 asked once: its run has a deadline like any other", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const spec = specOf(namespace, { deadlineMillis: 60_000 })
      const [late, plain] = yield* ask(manual(view, { spec }), manual(view))
      yield* elapse(Duration.seconds(70))
      yield* expireAll
      assert.strictEqual((yield* found(runOf(late))).state, "Expired")
      assert.strictEqual((yield* found(runOf(plain))).state, "Ready")
    }))

  it.effect("T13 asked once: a request makes a run at once, which says who asked", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const item = manual(view, {
        by: "Ada",
        request: "now",
        spec: specOf(namespace, { payload: "7" }),
      })
      const [answer] = yield* ask(item)
      if (answer?._tag !== "Fired") return assert.fail(answer?._tag)
      const run = yield* found(answer.run)
      assert.deepInclude(run, { state: "Ready", trigger: view.definition.name, payload: "7" })
      assert.isUndefined(run.slot)
      const events = yield* runs.events(answer.run)
      assert.isTrue(
        events.some(({ detail, kind }) => kind === "Asked" && detail === "manual, by Ada"),
        JSON.stringify(events),
      )
      assert.deepEqual(yield* ask(item), [{ _tag: "Already", run: answer.run }])
      const [record, ...others] = yield* recordsOf(view)
      assert.deepEqual(others, [])
      assert.deepInclude(record, { outcome: "fired", run: answer.run, revision: view.revision })
      assert.deepEqual(record!.asked, { kind: "manual", request: "now", by: "Ada" })
      assert.deepEqual(yield* viewOf(view), view, "the rule goes on as it would have")
    }))

  it.effect("T13 asked once: by many at once, one run", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 3)
      for (const item of [manual(view), backfill(view, view.cursor! - apart)]) {
        const answers = yield* together(times(8).map(() => ask(item)))
        const runs = answers.map(([answer]) =>
          answer?._tag === "Fired" || answer?._tag === "Already" ? answer.run : undefined
        )
        assert.strictEqual(answers.filter(([answer]) => answer?._tag === "Fired").length, 1)
        assert.strictEqual(new Set(runs).size, 1)
      }
      assert.strictEqual((yield* runsOf(namespace)).length, 2)
    }))

  it.effect("T13 asked once: a paused trigger can be asked, one that changed or is gone cannot", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const { name } = view.definition
      yield* triggers.pause(namespace, name, true)
      assert.strictEqual((yield* ask(manual(view)))[0]!._tag, "Fired")
      yield* put(definitionOf(namespace, { payload: "1" }))
      assert.deepEqual(yield* ask(manual(view)), [{ _tag: "Stale" }])
      yield* triggers.remove(namespace, name)
      const removed = manual(view, { revision: view.revision + 2 })
      assert.deepEqual(yield* ask(removed), [{ _tag: "Stale" }])
      assert.strictEqual((yield* runsOf(namespace)).length, 1)
    }))

  it.effect("T13 asked once: slots that did not fire are filled in, each once", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 5)
      const from = view.cursor!
      const at = (nth: number) => from + nth * apart
      const fired = yield* fireOne(firing(view))
      if (fired._tag !== "Fired") return assert.fail(fired._tag)
      yield* fireOne({
        ...firing(view, 3),
        passed: { from: at(1), through: at(2), outcome: "skipped" },
      })
      const wanted = [-2, 0, 1, 2, 3, 4].map((nth) => backfill(view, at(nth)))
      const dry = yield* triggers.ask(wanted, true)
      const expected = (filled: string) => [filled, "Already", filled, filled, "Already", "Pending"]
      assert.deepEqual(dry.map(({ _tag }) => _tag), expected("Dry"))
      assert.strictEqual((yield* runsOf(namespace)).length, 2, "nothing was done")
      const answers = yield* ask(...wanted)
      assert.deepEqual(answers.map(({ _tag }) => _tag), expected("Fired"))
      assert.deepEqual(answers[1], { _tag: "Already", run: fired.run })
      const again = yield* ask(...wanted)
      assert.deepEqual(
        again.map(({ _tag }) => _tag),
        ["Already", "Already", "Already", "Already", "Already", "Pending"],
      )
      const runs = yield* triggers.asked(view.id, "gap", 10)
      assert.deepEqual(runs, [0, 2, 3].map((nth) => runOf(answers[nth])))
      assert.deepEqual(yield* triggers.asked(view.id, "other", 10), [])
      assert.deepEqual(yield* triggers.asked(view.id, "gap", 1), runs.slice(0, 1))
      const slots = yield* Effect.forEach(runs, found)
      assert.deepEqual(
        slots.map(({ slot }) => DateTime.toEpochMillis(slot!)),
        [at(-2), at(1), at(2)],
      )
      const records = yield* recordsOf(view)
      assert.deepEqual(
        records.map(({ asked, outcome, slot }) => [slot, outcome, asked?.kind]).sort(),
        [
          [at(-2), "fired", "backfill"],
          [at(0), "fired", undefined],
          [at(1), "fired", "backfill"],
          [at(1), "skipped", undefined],
          [at(2), "fired", "backfill"],
          [at(3), "fired", undefined],
        ].sort(),
      )
      assert.strictEqual((yield* recordsOf(view, 2)).length, 2)
    }))

  it.effect("T13 asked once: while it is paused its passed slots are filled in, those to come not", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 2)
      yield* triggers.pause(namespace, view.definition.name, true)
      const answers = yield* ask(
        backfill(view, view.cursor!),
        backfill(view, view.cursor! + 9 * apart),
      )
      assert.deepEqual(answers.map(({ _tag }) => _tag), ["Fired", "Pending"])
      yield* triggers.pause(namespace, view.definition.name, false)
      assert.strictEqual((yield* runsOf(namespace)).length, 1)
    }))

  it.effect("T13 asked once: they wait at their gate, and for their time", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 2)
      const gate = gateOf(namespace, 1)
      const answers = yield* ask(
        { ...backfill(view, view.cursor! - apart), spec: specOf(namespace, { gate }) },
        {
          ...backfill(view, view.cursor! - 2 * apart),
          spec: specOf(namespace, { delayMillis: 60_000 }),
        },
      )
      const runs = yield* Effect.forEach(answers, (answer) => found(runOf(answer)))
      assert.deepEqual(runs.map(({ state }) => state), ["Blocked", "Scheduled"])
    }))
}

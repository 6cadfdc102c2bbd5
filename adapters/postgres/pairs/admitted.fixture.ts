/** Pairs of which the first is an admit. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { specOf } from "../../../core/contract/world.ts"
import {
  admitOf,
  admitting,
  cancelOf,
  claimBy,
  fireGated,
  pair,
  recover,
  settleBy,
} from "./acts.fixture.ts"
import { cyIsLost, done, idsOf, submitAs } from "./scene.fixture.ts"

export const admitted = [
  pair({
    pair: "admit, submit",
    over: "the waiting runs of a gate",
    law: "R8: an admit holds up no submit, and goes by their order",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: submitAs(undefined, true),
    waits: false,
    holds: ({ first }, { waiting }) => assert.deepEqual(first, [waiting]),
  }),
  pair({
    pair: "admit, admit",
    over: "a gate",
    law: "R8: decisions about one gate do not overlap",
    points: admitting,
    before: (storage, scene) =>
      Effect.andThen(
        submitAs(undefined, true)(storage, scene),
        settleBy("ann", ({ held }) => done(held))(storage, scene),
      ),
    first: admitOf("gate"),
    second: admitOf("gate"),
    waits: true,
    holds: ({ first, second }, { waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "admit, admit",
    over: "a gate to which one has come meanwhile who goes before the others",
    law: "R8: who is looked at is who has the place",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: (storage, scene) => {
      const { gate, namespace } = scene
      return Effect.andThen(
        storage.runs.submit([specOf(namespace, { gate, level: 0 })]),
        admitOf("gate")(storage, scene),
      )
    },
    waits: true,
    holds: ({ first, second }, { waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "admit, claim",
    over: "the run that is admitted",
    law: "R3: what is not committed is granted to nobody",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: claimBy("bob"),
    waits: false,
    holds: ({ first, second }, { ready, waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.deepEqual(idsOf(second), [ready])
    },
  }),
  pair({
    pair: "admit, settle",
    over: "the run that holds a place",
    law: "R8: a place that is given back is decided about after the commit",
    points: ["before delete on blocked", "before insert on ready", "committing ready"],
    before: ({ runs }, { gate, namespace }) =>
      // Of two places one is free.
      runs.submit([specOf(namespace, { gate: { ...gate, places: 2 }, level: 0 })]),
    first: admitOf("gate"),
    second: settleBy("ann", ({ held }) => done(held)),
    waits: false,
    holds: ({ first, second }) => {
      assert.strictEqual(first.length, 1)
      assert.strictEqual(second, "applied")
    },
  }),
  pair({
    pair: "admit, cancel",
    over: "the run that waits",
    law: "R10: what is confirmed is not granted",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: cancelOf("waiting"),
    waits: true,
    ends: { waiting: "Cancelled" },
    holds: ({ second }) => assert.strictEqual(second, "confirmed"),
  }),
  pair({
    pair: "admit, recover",
    over: "the run that holds a place",
    law: "R8: who is recovered keeps its place",
    points: admitting,
    before: Effect.fnUntraced(function* ({ runs }, { namespace, other }) {
      yield* runs.submit([
        specOf(namespace, { gate: { ...other, places: 2 }, level: 0 }),
      ])
      yield* cyIsLost
    }),
    first: admitOf("other"),
    second: recover,
    waits: false,
    holds: ({ first, second }, { lost }) => {
      assert.strictEqual(first.length, 1)
      assert.include(second, lost)
    },
  }),
  pair({
    pair: "admit, fire",
    over: "the waiting runs of a gate",
    law: "R8: an admit holds up no fire",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: fireGated,
    waits: false,
    holds: ({ first, second }, { waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.strictEqual(second, "Fired")
    },
  }),
] as const

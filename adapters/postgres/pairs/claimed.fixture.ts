/** Pairs of which the first is a claim. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import {
  admitOf,
  cancelOf,
  claimBy,
  claiming,
  fire,
  pair,
  recover,
  settleBy,
  settling,
} from "./acts.fixture.ts"
import { done, failed, idsOf, submitAs } from "./scene.fixture.ts"

export const claimed = [
  pair({
    pair: "claim, submit",
    over: "the ready runs of a lane",
    law: "R3: a claim holds up no submit",
    points: claiming,
    first: claimBy("bob"),
    second: submitAs(undefined),
    waits: false,
    holds: ({ first }, { ready }) => assert.deepEqual(idsOf(first), [ready]),
  }),
  pair({
    pair: "claim, admit",
    over: "the run that holds a place",
    law: "R8: a run that goes from ready to running holds its place all the while",
    points: claiming,
    before: (storage, scene) =>
      Effect.all([
        settleBy("ann", ({ held }) => done(held))(storage, scene),
        admitOf("gate")(storage, scene),
        submitAs(undefined, true)(storage, scene),
      ]),
    first: claimBy("bob"),
    second: admitOf("gate"),
    waits: false,
    holds: ({ first, second }, { waiting }) => {
      assert.include(idsOf(first), waiting)
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "claim, claim",
    over: "the ready runs of a lane",
    law: "R3: two claims share no run, and wait for nobody",
    points: claiming,
    first: claimBy("bob"),
    second: claimBy("ann"),
    waits: false,
    holds: ({ first, second }, { ready }) => {
      assert.deepEqual(idsOf(first), [ready])
      assert.deepEqual(idsOf(second), [])
    },
  }),
  pair({
    pair: "claim, settle",
    over: "a grant",
    law: "R5: one report settles, the other is a duplicate",
    points: settling,
    first: claimBy("ann", ({ held }) => [done(held)]),
    second: settleBy("ann", ({ held }) => failed(held)),
    waits: true,
    ends: { held: "Succeeded" },
    holds: ({ first, second }) => {
      assert.deepEqual(first === "Lost" ? first : first.settled, ["applied"])
      assert.strictEqual(second, "duplicate")
    },
  }),
  pair({
    pair: "claim, cancel",
    over: "a ready run",
    law: "R10: a cancel asks its holder, or there is none",
    points: claiming,
    first: claimBy("bob"),
    second: cancelOf("ready"),
    waits: true,
    holds: ({ first, second }, { ready }) => {
      assert.deepEqual(idsOf(first), [ready])
      assert.strictEqual(second, "requested")
    },
  }),
  pair({
    pair: "claim, recover",
    over: "the row of the executor that claims",
    law: "R11: what is granted while its holder is found lost is freed as well",
    points: claiming,
    first: claimBy("cy"),
    second: recover,
    waits: false,
    holds: ({ first }, { ready }) => assert.deepEqual(idsOf(first), [ready]),
  }),
  pair({
    pair: "claim, fire",
    over: "the ready runs of a lane",
    law: "R3: a claim holds up no fire",
    points: claiming,
    first: claimBy("bob"),
    second: fire,
    waits: false,
    holds: ({ second }) => assert.strictEqual(second, "Fired"),
  }),
] as const

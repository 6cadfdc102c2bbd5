/** Pairs of which the first is a fire. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import { admitOf, claimBy, fire, fireGated, firing, pair, settleBy } from "./acts.fixture.ts"
import { done, idsOf } from "./scene.fixture.ts"

export const fired = [
  pair({
    pair: "fire, admit",
    over: "the waiting runs of a gate",
    law: "R8: who comes later waits behind",
    points: firing,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: fireGated,
    second: admitOf("gate"),
    waits: false,
    holds: ({ second }, { waiting }) => assert.deepEqual(second, [waiting]),
  }),
  pair({
    pair: "fire, claim",
    over: "the ready runs of a lane",
    law: "T2: a run is granted once its slot is recorded",
    points: firing,
    first: fire,
    second: claimBy("bob"),
    waits: false,
    holds: ({ second }, { ready }) => assert.deepEqual(idsOf(second), [ready]),
  }),
  pair({
    pair: "fire, fire",
    over: "a trigger and its slot",
    law: "T1: who comes second gets Already",
    points: firing,
    first: fire,
    second: fire,
    waits: true,
    holds: ({ first, second }) => assert.deepEqual([first, second], ["Fired", "Already"]),
  }),
] as const

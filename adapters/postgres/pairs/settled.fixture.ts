/** Pairs of which the first is a settle. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import {
  admitOf,
  cancelOf,
  claimBy,
  pair,
  recover,
  settleBy,
  settling,
  silence,
} from "./acts.fixture.ts"
import { done, failed } from "./scene.fixture.ts"

export const settled = [
  pair({
    pair: "settle, admit",
    over: "the run that holds a place",
    law: "R8: a place is held until the commit",
    points: settling,
    first: settleBy("ann", ({ held }) => done(held)),
    second: admitOf("gate"),
    waits: false,
    holds: ({ second }) => assert.deepEqual(second, []),
  }),
  pair({
    pair: "settle, claim",
    over: "a grant",
    law: "R5: one report settles, the other is a duplicate",
    points: settling,
    first: settleBy("ann", ({ held }) => failed(held)),
    second: claimBy("ann", ({ held }) => [done(held)]),
    waits: true,
    ends: { held: "Failed" },
    holds: ({ first, second }) => {
      assert.strictEqual(first, "applied")
      assert.deepEqual(second === "Lost" ? second : second.settled, ["duplicate"])
    },
  }),
  pair({
    pair: "settle, settle",
    over: "a grant",
    law: "R5: one report settles, the other is a duplicate",
    points: settling,
    first: settleBy("ann", ({ held }) => failed(held)),
    second: settleBy("ann", ({ held }) => done(held)),
    waits: true,
    ends: { held: "Failed" },
    holds: ({ first, second }) => assert.deepEqual([first, second], ["applied", "duplicate"]),
  }),
  pair({
    pair: "settle, cancel",
    over: "a grant",
    law: "R10: a cancel that comes second finds the run ended",
    points: settling,
    first: settleBy("ann", ({ held }) => failed(held)),
    second: cancelOf("held"),
    waits: true,
    ends: { held: "Failed" },
    holds: ({ first, second }) => assert.deepEqual([first, second], ["applied", "ended"]),
  }),
  pair({
    pair: "settle, recover",
    over: "a grant of who is lost",
    law: "R11: what its holder has settled is not freed",
    points: settling,
    before: silence,
    first: settleBy("cy", ({ lost }) => done(lost)),
    second: recover,
    waits: false,
    ends: { lost: "Succeeded" },
    holds: ({ first, second }, { lost }) => {
      assert.strictEqual(first, "applied")
      assert.notInclude(second, lost)
    },
  }),
] as const

/** Pairs of which the first is a recovery. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import {
  admitOf,
  cancelOf,
  claimBy,
  pair,
  recover,
  recovering,
  settleBy,
  silence,
} from "./acts.fixture.ts"
import { done, idsOf } from "./scene.fixture.ts"

export const recovered = [
  pair({
    pair: "recover, admit",
    over: "the run that holds a place",
    law: "R8: who is recovered keeps its place",
    points: recovering,
    before: silence,
    first: recover,
    second: admitOf("other"),
    waits: false,
    holds: ({ first, second }, { lost }) => {
      assert.include(first, lost)
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "recover, claim",
    over: "the run that is freed",
    law: "R3: what is not committed is granted to nobody",
    points: recovering,
    before: silence,
    first: recover,
    second: claimBy("bob"),
    waits: false,
    holds: ({ first, second }, { lost, ready }) => {
      assert.include(first, lost)
      assert.deepEqual(idsOf(second), [ready])
    },
  }),
  pair({
    pair: "recover, settle",
    over: "a grant of who is lost",
    law: "R5: a report after the loss is fenced",
    points: recovering.slice(2),
    before: silence,
    first: recover,
    second: settleBy("cy", ({ lost }) => done(lost)),
    waits: true,
    holds: ({ first, second }, { lost }) => {
      assert.include(first, lost)
      assert.strictEqual(second, "fenced")
    },
  }),
  pair({
    pair: "recover, cancel",
    over: "a grant of who is lost",
    law: "R10: a cancel finds the run where recovery has left it",
    points: recovering.slice(2),
    before: silence,
    first: recover,
    second: cancelOf("lost"),
    waits: true,
    ends: { lost: "Cancelled" },
    holds: ({ first, second }, { lost }) => {
      assert.include(first, lost)
      assert.strictEqual(second, "confirmed")
    },
  }),
  pair({
    pair: "recover, recover",
    over: "a grant of who is lost",
    law: "R11: two recoveries free each grant once",
    points: recovering,
    before: silence,
    first: recover,
    second: recover,
    waits: false,
    holds: ({ first, second }, { lost }) =>
      assert.deepEqual([...first, ...second].filter((run) => run === lost), [lost]),
  }),
] as const

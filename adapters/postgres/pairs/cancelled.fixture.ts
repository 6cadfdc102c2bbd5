/** Pairs of which the first is a cancel. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import { failure } from "../../../core/contract/world.ts"
import {
  admitOf,
  cancellingHeld,
  cancellingReady,
  cancellingWaiting,
  cancelOf,
  claimBy,
  once,
  pair,
  recover,
  settleBy,
  silence,
} from "./acts.fixture.ts"
import { done, first, idsOf } from "./scene.fixture.ts"

export const cancelled = [
  pair({
    pair: "cancel, admit",
    over: "the run that waits",
    law: "R10: what is confirmed is not granted",
    points: cancellingWaiting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: cancelOf("waiting"),
    second: admitOf("gate"),
    waits: true,
    ends: { waiting: "Cancelled" },
    holds: ({ first, second }) => {
      assert.strictEqual(first, "confirmed")
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "cancel, claim",
    over: "a ready run",
    law: "R10: what is confirmed is not granted",
    points: cancellingReady.slice(1),
    first: cancelOf("ready"),
    second: claimBy("bob"),
    waits: false,
    ends: { ready: "Cancelled" },
    holds: ({ first, second }) => {
      assert.strictEqual(first, "confirmed")
      assert.deepEqual(idsOf(second), [])
    },
  }),
  pair({
    pair: "cancel, settle",
    over: "a grant",
    law: "R10: after the request it does not come back, however it ends",
    points: cancellingHeld,
    first: cancelOf("held"),
    second: settleBy("ann", ({ held }) => ({
      _tag: "Retry",
      run: held,
      fence: first,
      delayMillis: 0,
      failure,
    })),
    waits: true,
    ends: { held: "Cancelled" },
    holds: ({ first, second }) => assert.deepEqual([first, second], ["requested", "applied"]),
  }),
  pair({
    pair: "cancel, cancel",
    over: "a run that waits",
    law: "R10: it is cancelled once",
    points: cancellingWaiting,
    first: cancelOf("waiting"),
    second: cancelOf("waiting"),
    waits: true,
    ends: { waiting: "Cancelled" },
    holds: ({ first, second }) => once([first, second], "confirmed"),
  }),
  pair({
    pair: "cancel, cancel of a grant",
    over: "a grant",
    law: "R10: both ask its holder",
    points: cancellingHeld,
    first: cancelOf("held"),
    second: cancelOf("held"),
    waits: true,
    holds: ({ first, second }) => assert.deepEqual([first, second], ["requested", "requested"]),
  }),
  pair({
    pair: "cancel, recover",
    over: "a grant of who is lost",
    law: "R11: who is asked to stop is looked at by the next sweep",
    points: cancellingHeld,
    before: silence,
    first: cancelOf("lost"),
    second: recover,
    waits: undefined,
    ends: { lost: "Cancelled" },
    holds: ({ first }) => assert.strictEqual(first, "requested"),
  }),
] as const

/** Pairs of which the first is a submit. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { specOf } from "../../../core/contract/world.ts"
import type { Submitted } from "../../../core/services/RunStorage.ts"
import {
  type Act,
  admitOf,
  cancellingReady,
  cancelOf,
  claimBy,
  pair,
  recover,
  recovering,
  settleBy,
  settling,
  silence,
  submitting,
} from "./acts.fixture.ts"
import { done, idsOf, submitAs } from "./scene.fixture.ts"

export const submitted = [
  pair({
    pair: "submit, submit",
    over: "the row of a key",
    law: "R2: a key names one run",
    points: submitting,
    first: submitAs("new"),
    second: submitAs("new"),
    waits: true,
    holds: ({ first, second }) => {
      assert.deepInclude(first, { _tag: "Submitted", isNew: true })
      assert.deepInclude(second, { _tag: "Submitted", isNew: false, run: first.run })
    },
  }),
  pair({
    pair: "submit, admit",
    over: "the waiting runs of a gate",
    law: "R8: who comes later waits behind",
    points: submitting,
    first: submitAs(undefined, true),
    second: admitOf("gate"),
    waits: false,
    holds: ({ second }) => assert.deepEqual(second, []),
  }),
  pair({
    pair: "submit, claim",
    over: "the ready runs of a lane",
    law: "R3: what is not committed is granted to nobody, and waited for by nobody",
    points: submitting,
    first: submitAs(undefined),
    second: claimBy("bob"),
    waits: false,
    holds: ({ second }, { ready }) => assert.deepEqual(idsOf(second), [ready]),
  }),
  ...([["held", settling, settleBy("ann", ({ held }) => done(held)), "settle"], [
    "ready",
    cancellingReady,
    cancelOf("ready"),
    "cancel",
  ], ["lost", recovering, recover, "recover"]] as const).flatMap(([key, points, act, name]) => [
    pair<Submitted, unknown>({
      pair: `submit, ${name}`,
      over: "the run that a key names",
      law: "R2: a key that is known holds up nobody",
      points: ["committing run"],
      before: silence,
      // The flush has another run in it, at which it stops.
      first: ({ runs }, { namespace }) =>
        Effect.map(
          runs.submit([
            specOf(namespace, { idempotencyKey: key }),
            specOf(namespace, { idempotencyKey: "new" }),
          ]),
          ([known]) => known!,
        ),
      second: act as Act<unknown>,
      waits: false,
      holds: ({ first }, scene) =>
        assert.deepInclude(first, { _tag: "Submitted", isNew: false, run: scene[key] }),
    }),
    pair<unknown, Submitted>({
      pair: `${name}, submit`,
      over: "the run that a key names",
      law: "R2: a run that moves is known by its key",
      points,
      before: silence,
      first: act as Act<unknown>,
      second: submitAs(key),
      waits: false,
      holds: ({ second }, scene) =>
        assert.deepInclude(second, { _tag: "Submitted", isNew: false, run: scene[key] }),
    }),
  ]),
] as const

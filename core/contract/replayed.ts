/** R28: what a run has come to is what its history says. */
import { assert } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { replay, type Replayed } from "./replay.ts"
import type { RunId } from "../domain/RunId.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import { found } from "./world.ts"

/** The history of the run, as it was submitted, leads to the state that the storage shows. */
export const assertReplayed = Effect.fnUntraced(function* (
  run: RunId,
  spec: RunSpec,
  how: Pick<Replayed, "isParent" | "crashesWithinMillis"> = {},
) {
  const { now, runs } = yield* Storage
  const { attempt, crashes, dueAt, fence, isCancelling, isSuspending, state } = yield* found(run)
  const history = yield* runs.events(run)
  const told = history.filter(({ kind }) => kind !== "LateReport")
    .map(({ attempt, fence, kind }) => `${kind} ${attempt}/${fence}`).join(", ")
  const isDue = DateTime.toEpochMillis(dueAt) <= (yield* now)
  const reached = yield* Effect.try({
    try: () => replay({ spec, history, isDue, ...how }),
    catch: (cause) => new Error(`${(cause as Error).message}, in ${told}`),
  })
  assert.deepStrictEqual(
    {
      state: reached._tag,
      attempt: reached.attempt,
      crashes: reached.crashes,
      fence: reached.fence,
      isCancelling: reached._tag === "Running" && reached.isCancelling,
      isSuspending: reached._tag === "Running" && reached.isSuspending,
    },
    {
      state,
      attempt,
      crashes,
      fence,
      isCancelling: isCancelling === true,
      isSuspending: isSuspending === true,
    },
    told,
  )
})

/** Planted: nobody counts what waits where there is a bound to it. */
import { Effect } from "effect"
import { taskOf } from "../../domain/Lane.ts"
import { policyOf } from "../tasks.ts"
import type { Mistake } from "../World.ts"

export const backlogUncounted: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    depth: (lanes, atMost) =>
      lanes.some((lane) => policyOf(taskOf(lane).task).backlog !== undefined)
        ? Effect.succeed(0)
        : storage.runs.depth(lanes, atMost),
  },
})

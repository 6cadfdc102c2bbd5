/** Planted: nobody counts how many wait of a task with a backlog. */
import { Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import { standard } from "../../domain/Namespace.ts"
import { tasks } from "../tasks.ts"
import type { Mistake } from "../World.ts"

const lane = Lane.ofTask(standard, tasks.narrow.name)

export const backlogUncounted: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    backlog: (lanes, atMost) =>
      lanes.includes(lane) ? Effect.succeed(0) : storage.runs.backlog(lanes, atMost),
  },
})

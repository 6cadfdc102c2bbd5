/** Planted: nobody looks for parents whose children have ended, other than when the last of them does. */
import { Effect } from "effect"
import * as FanIn from "../../../domain/FanIn.ts"
import type { Mistake } from "../../World.ts"

export const parentForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    openGates: (limit) =>
      Effect.map(
        storage.runs.openGates(limit),
        (gates) => gates.filter((gate) => FanIn.parentOf(gate) === undefined),
      ),
  },
})

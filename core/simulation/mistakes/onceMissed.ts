/** Planted: what is due once is told of no more when its instant is over. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const onceMissed: Mistake = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    due: (...given) =>
      Effect.map(storage.triggers.due(...given), ({ now, triggers }) => ({
        now,
        triggers: triggers.filter(({ definition: { schedule } }) =>
          schedule._tag !== "At" || schedule.at >= now
        ),
      })),
  },
})

/** Planted: now and then a change is confirmed, and nothing is done. */
import { Effect, Option } from "effect"
import type { Mistake } from "../World.ts"

export const changeForgotten: Mistake = (storage) => {
  let changes = 0
  return {
    ...storage,
    runs: {
      ...storage.runs,
      change: (run, change) =>
        ++changes % 4 > 0
          ? storage.runs.change(run, change)
          : Effect.succeed(Option.some({ answer: "confirmed", freed: [] })),
    },
  }
}

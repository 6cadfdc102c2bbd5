/** Planted: now and then a rollback is confirmed, and nothing is done. */
import { Effect, Option } from "effect"
import type { Mistake } from "../World.ts"

export const rollbackForgotten: Mistake = (storage) => {
  let asked = 0
  return {
    ...storage,
    runs: {
      ...storage.runs,
      rollback: (run, demand) =>
        ++asked % 5 > 0
          ? storage.runs.rollback(run, demand)
          : Effect.succeed(Option.some({ answer: "confirmed", freed: [] })),
    },
  }
}

/** Planted: a cancel is confirmed, and nothing is done. */
import { Effect, Option } from "effect"
import type { Mistake } from "../World.ts"

export const cancelForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    cancel: () => Effect.succeed(Option.some({ answer: "confirmed", freed: [] })),
  },
})

/** Planted: that the hooks of what is handed over are left is confirmed, and not kept. */
import { Effect } from "effect"
import { isMark } from "../../domain/Conclusion.ts"
import type { Mistake } from "../World.ts"

export const hooksForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    conclude: (incarnation, conclusions) =>
      conclusions.some(({ conclusion }) => isMark(conclusion))
        ? Effect.succeed(conclusions.map(() => true))
        : storage.runs.conclude(incarnation, conclusions),
  },
})

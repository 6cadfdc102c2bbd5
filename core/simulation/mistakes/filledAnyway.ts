/** Planted: a slot is filled in although it has fired. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const filledAnyway: Mistake = (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    ask: (items, isDry) =>
      Effect.suspend(() => {
        const kept = state.triggers.get(items[0]!.trigger)
        const records = kept?.records.splice(0) ?? []
        const back = Effect.sync(() => kept?.records.push(...records))
        return Effect.ensuring(storage.triggers.ask(items, isDry), back)
      }),
  },
})

/** Planted: with a trigger that is removed its records are. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const recordsForgotten: Mistake = (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    remove: (namespace, name) =>
      Effect.tap(storage.triggers.remove(namespace, name), () =>
        Effect.sync(() => {
          for (const kept of state.removed.values()) kept.records.length = 0
        })),
  },
})

/** Planted: a slot is fired a second and a half after its instant. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const firedLate: Mistake = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    fire: (items) => Effect.delay(storage.triggers.fire(items), "1500 millis"),
  },
})

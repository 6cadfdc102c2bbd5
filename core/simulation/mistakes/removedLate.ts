/** Planted: a trigger is said to be gone before it is. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const removedLate: Mistake = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    remove: (namespace, name) =>
      Effect.as(
        Effect.forkDetach(
          Effect.delay(storage.triggers.remove(namespace, name), "1500 millis"),
        ),
        true,
      ),
  },
})

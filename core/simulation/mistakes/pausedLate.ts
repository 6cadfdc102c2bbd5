/** Planted: a pause is acknowledged before it holds. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const pausedLate: Mistake = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    pause: (namespace, name, isPaused) =>
      isPaused
        ? Effect.tap(
          storage.triggers.find(namespace, name),
          () =>
            Effect.forkDetach(
              Effect.delay(storage.triggers.pause(namespace, name, true), "1500 millis"),
            ),
        )
        : storage.triggers.pause(namespace, name, isPaused),
  },
})

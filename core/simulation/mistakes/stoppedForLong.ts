/** Planted: now and then nobody hears for a while of a permanent trigger that has stopped. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const stoppedForLong: Mistake = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    stopped: (...asking) =>
      Effect.map(
        storage.triggers.stopped(...asking),
        ({ now, triggers }) => ({ now, triggers: now % 20_000 < 12_000 ? triggers : [] }),
      ),
  },
})

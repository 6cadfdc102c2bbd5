/** Planted: what was read from anywhere counts as read from where the trigger has come to. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const positionIgnored: Mistake = (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    tail: (item) =>
      Effect.suspend(() =>
        storage.triggers.tail({ ...item, from: state.triggers.get(item.trigger)?.tail?.position })
      ),
  },
})

/** Planted: who asks again for a run by hand gets another one. */
import type { Mistake } from "../World.ts"

export const askedTwice: Mistake = (storage) => {
  let asked = 0
  return {
    ...storage,
    triggers: {
      ...storage.triggers,
      ask: (items, isDry) =>
        storage.triggers.ask(
          items.map((item) =>
            item.kind === "manual" ? { ...item, request: `${item.request}, ${asked++}` } : item
          ),
          isDry,
        ),
    },
  }
}

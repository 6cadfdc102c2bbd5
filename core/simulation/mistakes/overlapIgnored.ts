/** Planted: a slot fires whether a run of its trigger is under way or not. */
import type { Mistake } from "../World.ts"

export const overlapIgnored: Mistake = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    fire: (items) =>
      storage.triggers.fire(items.map((item) => ({
        ...item,
        fire: item.fire && { ...item.fire, whileRunning: undefined },
      }))),
  },
})

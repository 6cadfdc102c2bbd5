/** Planted: a planner goes past each slot as if it had misfired. */
import type { Plant } from "../World.ts"

export const misfiredInTime: NonNullable<Plant["planner"]> = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    fire: (items) =>
      storage.triggers.fire(items.map((item) => {
        if (item.fire === undefined) return item
        const { slot } = item.fire
        const from = item.passed?.from ?? slot
        return { ...item, fire: undefined, passed: { from, through: slot, outcome: "skipped" } }
      })),
  },
})

/** Planted: a planner takes the jitter of each slot for another. */
import type { Plant } from "../World.ts"

export const jitterTaken =
  (as: (delayMillis: number) => number): NonNullable<Plant["planner"]> => (storage) => ({
    ...storage,
    triggers: {
      ...storage.triggers,
      fire: (items) =>
        storage.triggers.fire(items.map((item) => {
          if (item.fire === undefined) return item
          const { spec } = item.fire
          const delayMillis = as(spec.delayMillis)
          return { ...item, fire: { ...item.fire, spec: { ...spec, delayMillis } } }
        })),
    },
  })

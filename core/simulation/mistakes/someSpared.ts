/** Planted: now and then one of a group is not cancelled with the others. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const someSpared: Mistake = (storage) => {
  let listed = 0
  const groups: ReadonlySet<string | undefined> = new Set(["gang", "mob", "band"])
  return {
    ...storage,
    runs: {
      ...storage.runs,
      list: (query) =>
        Effect.map(
          storage.runs.list(query),
          (views) => groups.has(query.task) ? views.filter(() => ++listed % 3 > 0) : views,
        ),
    },
  }
}

/** Planted: now and then a trigger goes on past a slot without a record of it. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const droppedSlot: Mistake = (storage, state) => {
  let fired = 0
  return {
    ...storage,
    triggers: {
      ...storage.triggers,
      fire: (items) => {
        const kept = items.filter(({ fire, next, revision, trigger }) => {
          const of = state.triggers.get(trigger)
          if (fire === undefined || of?.view.revision !== revision || ++fired % 10 > 0) return true
          const { cursor: _, ...view } = of.view
          of.view = { ...view, ...(next !== undefined && { cursor: next }) }
          return false
        })
        return Effect.map(storage.triggers.fire(kept), (answers) =>
          items.map((item) => {
            const at = kept.indexOf(item)
            return at === -1 ? { _tag: "Recorded" as const } : answers[at]!
          }))
      },
    },
  }
}

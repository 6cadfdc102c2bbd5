/**
 * Planted: a planner marks a slot as fired, and then makes its run: who dies in between has left it out.
 */
import { Effect } from "effect"
import type { MemoryState } from "../../../../adapters/memory/MemoryState.ts"
import type { Storage } from "../../../services/Storage.ts"
import type { Firing } from "../../../services/TriggerStorage.ts"
import type { Plant } from "../World.ts"

type Triggers = Storage["Service"]["triggers"]

/** With another call beside those that there are. */
interface Marking extends Triggers {
  readonly mark: (items: ReadonlyArray<Firing>) => Effect.Effect<void>
}

const moveTo = (state: MemoryState, { trigger }: Firing, to: number | undefined) => {
  const kept = state.triggers.get(trigger)
  if (kept === undefined) return
  const { cursor: _, ...view } = kept.view
  kept.view = { ...view, ...(to !== undefined && { cursor: to }) }
}

export const markedBefore: Plant = {
  storage: (storage, state) => {
    const { triggers } = storage
    const marked = new Map<number, number>()
    const marking: Marking = {
      ...triggers,
      mark: (items) =>
        Effect.sync(() => {
          for (const item of items) {
            const cursor = state.triggers.get(item.trigger)?.view.cursor
            if (item.fire === undefined || item.fire.slot !== cursor) continue
            marked.set(item.trigger, cursor)
            moveTo(state, item, item.next)
          }
        }),
      fire: (items) =>
        Effect.suspend(() => {
          for (const item of items) {
            if (marked.get(item.trigger) === item.fire?.slot) moveTo(state, item, item.fire?.slot)
          }
          return triggers.fire(items)
        }),
    }
    return { ...storage, triggers: marking }
  },
  server: (storage) => {
    const triggers = storage.triggers as Marking
    return {
      ...storage,
      triggers: {
        ...triggers,
        fire: (items) => Effect.andThen(triggers.mark(items), triggers.fire(items)),
      },
    }
  },
}

/** Planted: an event is fired first and taken off the outbox after, as two steps would. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const followedTwice: Mistake = (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    follow: Effect.fnUntraced(function* (items) {
      const told = items.flatMap(({ event }) => state.outbox.told.get(event) ?? [])
      const answers = yield* storage.triggers.follow(items)
      // Until it is taken off, others see it.
      for (const each of told) {
        each.heldUntil = -Infinity
        state.outbox.told.set(each.id, each)
      }
      yield* Effect.sleep(500)
      for (const each of told) state.outbox.told.delete(each.id)
      return answers
    }),
  },
})

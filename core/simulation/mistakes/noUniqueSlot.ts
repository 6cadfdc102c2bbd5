/** Planted: a slot that has a record already is fired all the same. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const noUniqueSlot: Mistake = (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    fire: Effect.fnUntraced(function* (items) {
      const answers = yield* storage.triggers.fire(items)
      const now = yield* storage.now
      return answers.map((answer, at) => {
        const { fire, trigger } = items[at]!
        if (answer._tag !== "Already" || fire === undefined) return answer
        const { name } = state.triggers.get(trigger)!.view.definition
        const { id } = state.add(fire.spec, now, { trigger: name, slot: fire.slot })
        return { _tag: "Fired", run: id, latenessMillis: now - fire.slot } as const
      })
    }),
  },
})

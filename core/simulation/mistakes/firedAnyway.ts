/** What is answered so fires all the same. */
import { Effect } from "effect"
import type { Fired } from "../../services/TriggerStorage.ts"
import type { Mistake } from "../World.ts"

export const firedAnyway = (answered: Fired["_tag"]): Mistake => (storage, state) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    fire: Effect.fnUntraced(function* (items) {
      const answers = yield* storage.triggers.fire(items)
      const now = yield* storage.now
      return answers.map((answer, at) => {
        const { fire, trigger } = items[at]!
        if (answer._tag !== answered || fire === undefined) return answer
        const { name } = state.triggers.get(trigger)!.view.definition
        const { id } = state.add(fire.spec, now, { trigger: name, slot: fire.slot })
        return { _tag: "Fired", run: id, latenessMillis: now - fire.slot } as const
      })
    }),
  },
})

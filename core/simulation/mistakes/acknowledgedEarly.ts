/**
 * Planted: a submit is acknowledged before it is kept. It is kept a moment later, unless the one
 * who took it in goes down in between, as one in eight does here.
 */
import { Effect, Random } from "effect"
import type { Entry } from "../../../adapters/memory/MemoryState.ts"
import type { Mistake } from "../World.ts"

export const acknowledgedEarly: Mistake = (storage, state) => {
  /** Takes a new run out again, as if it had not been written yet. */
  const forget = (entry: Entry) => {
    state.runs.delete(entry.id)
    state.ready.get(entry.spec.lane)?.delete(entry)
    state.scheduled.delete(entry)
    if (entry.spec.gate !== undefined) {
      state.blocked.get(entry.spec.gate.key)?.delete(entry)
      state.holders.get(entry.spec.gate.key)?.delete(entry)
    }
  }

  return {
    ...storage,
    runs: {
      ...storage.runs,
      submit: Effect.fnUntraced(function* (specs) {
        const answers = yield* storage.runs.submit(specs)
        for (const answer of answers) {
          const isLost = (yield* Random.next) < 0.125
          const entry = state.runs.get(answer.run)
          if (isLost && entry !== undefined && entry.state.fence === 0) forget(entry)
        }
        return answers
      }),
    },
  }
}

/** Planted: an executor is lost when nothing was heard of it for half a second. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const givenUpEarly: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    recover: Effect.fnUntraced(function* (limit) {
      const now = yield* storage.now
      for (const member of state.members.values()) {
        if (member.beatAt + 500 < now) member.beatAt = -Infinity
      }
      return yield* storage.runs.recover(limit)
    }),
  },
})

/** Planted: now and then whoever claims is granted what another carries out. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const grantedTwice: Mistake = (storage, state) => {
  let claims = 0
  return {
    ...storage,
    runs: {
      ...storage.runs,
      claim: Effect.fnUntraced(function* (request) {
        const now = yield* storage.now
        const held = [...state.runs.values()].find(({ holder, state: { _tag } }) =>
          _tag === "Running" && holder?.incarnation !== request.incarnation
        )
        if (held !== undefined && ++claims % 10 === 0) {
          state.move(held, { _tag: "Release", fence: held.state.fence }, now)
        }
        return yield* storage.runs.claim(request)
      }),
    },
  }
}

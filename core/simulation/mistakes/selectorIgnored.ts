/** Planted: whoever asks is granted what waits for others with other labels. */
import { Effect } from "effect"
import { selectorOf } from "../../domain/Lane.ts"
import type { Mistake } from "../World.ts"

export const selectorIgnored: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    claim: (request) =>
      Effect.suspend(() => {
        const others = [...state.ready.keys()].filter((lane) => selectorOf(lane) !== undefined)
        return storage.runs.claim({ ...request, lanes: [...request.lanes, ...others] })
      }),
  },
})

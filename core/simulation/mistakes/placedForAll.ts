/** Planted: whoever asks is granted what waits in the lane of any executor. */
import { Effect } from "effect"
import { executorOf } from "../../domain/Lane.ts"
import type { Mistake } from "../World.ts"

export const placedForAll: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    claim: (request) =>
      Effect.suspend(() => {
        const others = [...state.ready.keys()].filter((lane) => executorOf(lane) !== undefined)
        return storage.runs.claim({ ...request, lanes: [...request.lanes, ...others] })
      }),
  },
})

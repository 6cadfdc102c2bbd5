/** Planted: of two who look after lost executors at once, each frees what the other has freed. */
import { Effect } from "effect"
import type { Recovered } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const freedTwice: Mistake = (storage) => {
  let last: Recovered["runs"] = []
  return {
    ...storage,
    runs: {
      ...storage.runs,
      recover: (limit) =>
        Effect.map(storage.runs.recover(limit), (recovered) => {
          const runs = [...recovered.runs, ...last]
          last = recovered.runs
          return { ...recovered, runs }
        }),
    },
  }
}

/** Planted: nobody remembers which key had its turn. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const weightsForgotten: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    admit: (gates) =>
      Effect.suspend(() => {
        state.shares.clear()
        state.sharing.clear()
        return storage.runs.admit(gates)
      }),
  },
})

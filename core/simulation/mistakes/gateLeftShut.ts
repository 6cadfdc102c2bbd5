/** Planted: nobody is let pass a gate that a lost executor has left. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const gateLeftShut: Mistake = (storage) => {
  const { runs } = storage
  const left = new Set<string>()
  return {
    ...storage,
    runs: {
      ...runs,
      recover: (limit) =>
        Effect.tap(runs.recover(limit), ({ freed }) =>
          Effect.sync(() => {
            for (const gate of freed) left.add(gate)
          })),
      admit: (gates) => runs.admit(gates.filter((gate) => !left.has(gate))),
    },
  }
}

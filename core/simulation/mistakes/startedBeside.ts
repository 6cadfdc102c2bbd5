/** Planted: now and then a permanent trigger gets another run while one is alive. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const startedBeside: Mistake = (storage, state) => {
  let asked = 0
  return {
    ...storage,
    triggers: {
      ...storage.triggers,
      stopped: (...asking) =>
        Effect.map(storage.triggers.stopped(...asking), ({ now, triggers }) => {
          const others = ++asked % 10 > 0 ? [] : state.triggers.values()
            .filter(({ view: { definition, isPaused } }) =>
              definition.schedule._tag === "Permanent" && !isPaused
            )
            .map(({ records, view }) => ({
              view,
              lives: records.slice(-1).map(({ slot }) => ({ slot, livedMillis: 0 })),
              endedAt: records.at(-1)?.slot ?? 0,
            }))
          return { now, triggers: [...triggers, ...others] }
        }),
    },
  }
}

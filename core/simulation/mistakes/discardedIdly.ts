/** Planted: what is discarded if another is under way is discarded if none is, too. */
import { Effect } from "effect"
import type { Admission } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const discardedIdly: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    admit: Effect.fnUntraced(function* (gates) {
      const now = yield* storage.now
      const discarded = gates.flatMap((gate) => [...state.blocked.get(gate) ?? []])
        .filter(({ spec }) => spec.gate!.whenFull === "discard")
        .map((entry): Admission => {
          state.move(entry, { _tag: "Discard" }, now)
          return { run: entry.id, state: "Discarded" }
        })
      return [...discarded, ...yield* storage.runs.admit(gates)]
    }),
  },
})

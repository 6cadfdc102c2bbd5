/** Planted: whether a gate is free is read first, for each waiting run, and it is locked after. */
import { Effect } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import type { Admission } from "../../services/RunStorage.ts"
import type { Mistake } from "../World.ts"

export const decidedUnlocked: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    admit: Effect.fnUntraced(function* (gates) {
      const decided = gates.flatMap((gate) => {
        const held = state.holders.get(gate)?.size ?? 0
        return [...state.blocked.get(gate) ?? []].map((entry) => ({
          entry,
          decision: Blocking.decide(entry.spec.gate!, held),
        }))
      })
      // The moment that waiting for the lock takes.
      yield* Effect.sleep(20)
      const now = yield* storage.now
      const admissions: Array<Admission> = []
      for (const { decision, entry } of decided) {
        if (decision === "wait" || entry.state._tag !== "Blocked") continue
        state.move(entry, { _tag: decision === "admit" ? "Admit" : "Discard" }, now)
        admissions.push({ run: entry.id, state: decision === "admit" ? "Ready" : "Discarded" })
      }
      return admissions
    }),
  },
})

/** Whoever comes to a gate gets another turn there. */
import { Effect } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import type { Level } from "../../domain/Lane.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Mistake } from "../World.ts"

export const turned =
  (turn: (run: RunId, level: Level) => number): Mistake => (storage, state) => ({
    ...storage,
    runs: {
      ...storage.runs,
      submit: (specs) =>
        Effect.tap(storage.runs.submit(specs), (answers) =>
          Effect.sync(() => {
            for (const { run } of answers) {
              const entry = state.runs.get(run)
              const blocked = entry?.spec.gate && state.blocked.get(entry.spec.gate.key)
              if (entry === undefined || blocked?.delete(entry) !== true) continue
              entry.turn = turn(run, entry.level)
              entry.rank = Blocking.rankByAge(entry)
              blocked.add(entry)
            }
          })),
    },
  })

/**
 * Planted: a server goes by what it remembers to be due, and looks for the rest now and then: one that has
 * died does not remember.
 */
import { Effect } from "effect"
import { startsAt } from "../../times.ts"
import type { Plant } from "../World.ts"

const everyMillis = 10_000

export const heldInMemory: NonNullable<Plant["server"]> = (storage, now) => {
  const startedAt = now()
  const isFirst = startedAt === startsAt
  return {
    ...storage,
    runs: {
      ...storage.runs,
      promote: (limit) =>
        isFirst || now() - startedAt >= everyMillis
          ? storage.runs.promote(limit)
          : Effect.succeed({ promoted: 0, gates: [], unplaced: [], nextInMillis: undefined }),
    },
  }
}

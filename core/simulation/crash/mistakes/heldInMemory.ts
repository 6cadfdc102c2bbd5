/**
 * Planted: a server goes by what it remembers, to be due or to be told, and looks for the rest now and then:
 * one that has died does not remember.
 */
import { Effect } from "effect"
import { startsAt } from "../../times.ts"
import type { Plant } from "../World.ts"

const everyMillis = 10_000

/** Whether a server that starts now looks by itself. */
const looking = (now: () => number) => {
  const startedAt = now()
  return () => startedAt === startsAt || now() - startedAt >= everyMillis
}

export const dueInMemory: NonNullable<Plant["server"]> = (storage, now) => {
  const { runs } = storage
  const isLooking = looking(now)
  const none = { promoted: 0, gates: [], unplaced: [], nextInMillis: undefined }
  return {
    ...storage,
    runs: {
      ...runs,
      promote: (limit) =>
        Effect.suspend(() => isLooking() ? runs.promote(limit) : Effect.succeed(none)),
    },
  }
}

export const toldInMemory: NonNullable<Plant["server"]> = (storage, now) => {
  const { outbox } = storage
  const isLooking = looking(now)
  return {
    ...storage,
    outbox: {
      ...outbox,
      take: (request) =>
        Effect.suspend(() => isLooking() ? outbox.take(request) : Effect.succeed([])),
    },
  }
}

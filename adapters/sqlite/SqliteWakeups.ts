/**
 * Wake-ups beside a SQLite storage: see `Wakeups` for the laws. Within the process they are given
 * right after the commit; those of other processes are found by looking at the file.
 */
import { Effect, Latch, Option } from "effect"
import { type Topic, Wakeups } from "../../core/services/Wakeups.ts"
import type { Database } from "./Database.ts"
import type { Neighbours } from "./Neighbours.ts"

export const make = (db: Database, neighbours: Neighbours): Wakeups["Service"] => {
  const subscribed = new Map<Topic, Set<Latch.Latch>>()

  const wake = (topics: Iterable<Topic>) => {
    for (const topic of topics) {
      for (const latch of subscribed.get(topic) ?? []) latch.openUnsafe()
    }
  }
  db.listeners.add(wake)
  neighbours.listeners.add(wake)

  const enter = (topics: ReadonlyArray<Topic>, latch: Latch.Latch) => {
    for (const topic of topics) {
      const latches = subscribed.get(topic)
      if (latches === undefined) subscribed.set(topic, new Set([latch]))
      else latches.add(latch)
    }
  }

  const quit = (topics: ReadonlyArray<Topic>, latch: Latch.Latch) => {
    for (const topic of topics) {
      const latches = subscribed.get(topic)
      latches?.delete(latch)
      if (latches?.size === 0) subscribed.delete(topic)
    }
  }

  return Wakeups.of({
    subscribe: (topics) =>
      Effect.gen(function* () {
        const hinted = Latch.makeUnsafe()
        yield* Effect.acquireRelease(
          Effect.sync(() => enter(topics, hinted)),
          () => Effect.sync(() => quit(topics, hinted)),
        )
        return {
          // Hints that others gave before are behind us; those they give from now on are not (W1).
          arm: Effect.sync(() => {
            lookQuietly(neighbours)
            hinted.closeUnsafe()
          }),
          wait: (atMost) =>
            Effect.map(
              neighbours.whileWaiting(Effect.timeoutOption(hinted.await, atMost)),
              Option.isSome,
            ),
        }
      }),
  })
}

/** A look that fails costs a hint that comes twice, nothing more. */
const lookQuietly = (neighbours: Neighbours): void => {
  try {
    neighbours.look()
  } catch {
    // The next look finds what this one did not.
  }
}

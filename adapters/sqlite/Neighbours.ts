/**
 * What other processes commit to the same file, noticed while somebody here waits for it.
 *
 * SQLite's `data_version` changes with every commit of another connection, and asking for it costs
 * about a microsecond. It is asked every 5 ms after a change, ever more rarely while nothing
 * changes, and every 25 ms at last; not at all while nobody waits.
 */
import { Effect, Latch, type Scope } from "effect"
import type { Topic } from "../../core/services/Wakeups.ts"
import type { Database } from "./Database.ts"

const soonestMillis = 5
const latestMillis = 25

export interface Neighbours {
  /** Told of the topics hinted by others since the last look, after each change. */
  readonly listeners: Set<(topics: ReadonlyArray<Topic>) => void>
  /** Looks now. */
  readonly look: () => void
  /** Looks again and again while `effect` waits. */
  readonly whileWaiting: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const make = (db: Database): Effect.Effect<Neighbours, never, Scope.Scope> =>
  Effect.gen(function* () {
    const listeners: Neighbours["listeners"] = new Set()
    if (!db.isShared) return { listeners, look: () => {}, whileWaiting: (effect) => effect }

    const version = () => db.get<{ data_version: number }>("PRAGMA data_version")!.data_version
    let seenVersion = version()
    let seenHint = db.get<{ value: number }>("SELECT value FROM meta WHERE key = 'hint'")!.value
    let waiters = 0
    const isAwaited = Latch.makeUnsafe()

    /** Whether something has changed. */
    const look = (): boolean => {
      const current = version()
      if (current === seenVersion) return false
      const hints = db.all<{ topic: Topic; number: number }>(
        "SELECT topic, number FROM hint WHERE number > ? ORDER BY number",
        seenHint,
      )
      // What is committed meanwhile changes the version again, and is looked for again.
      seenVersion = current
      seenHint = hints.at(-1)?.number ?? seenHint
      for (const listener of listeners) listener(hints.map(({ topic }) => topic))
      return true
    }

    const lookAgain = Effect.gen(function* () {
      let pause = soonestMillis
      for (;;) {
        yield* isAwaited.await
        yield* Effect.sleep(pause)
        const hasChanged = yield* Effect.orElseSucceed(Effect.try(look), () => false)
        pause = hasChanged ? soonestMillis : Math.min(latestMillis, pause * 1.5)
      }
    })
    yield* Effect.forkScoped(lookAgain)

    return {
      listeners,
      look: () => void look(),
      whileWaiting: (effect) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            waiters++
            isAwaited.openUnsafe()
          }),
          () => effect,
          () =>
            Effect.sync(() => {
              if (--waiters === 0) isAwaited.closeUnsafe()
            }),
        ),
    }
  })

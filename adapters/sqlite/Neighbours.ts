/**
 * What other processes commit to the same file, noticed while somebody here waits for it.
 *
 * SQLite's `data_version` changes with every commit of another connection, and asking for it costs
 * about a microsecond; to wake for it costs a hundred times as much. It is asked every 5 ms after a
 * change, ever more rarely while nothing changes, and every 25 ms at last; not at all while nobody
 * waits.
 *
 * Where the system tells of writes to the log (`WriteWatch`), it is asked four times a second at last.
 * No commit can come unheard: the watch is set while nobody writes, and what was committed by then is
 * seen. Whoever commits later writes later, is heard before the commit counts, and from then on it is
 * asked as often as ever.
 */
import { Clock, Context, Effect, Latch, type Scope } from "effect"
import type { Topic } from "../../core/services/Wakeups.ts"
import type { Database } from "./Database.ts"
import { type Files, WriteWatch } from "./WriteWatch.ts"

const soonestMillis = 5
const latestMillis = 25
/** What the system has failed to tell of is found by then, and it is not relied on again. */
const reliedMillis = 250

export interface Neighbours {
  /** Told of the topics hinted by others since the last look, after each change. */
  readonly listeners: Set<(topics: ReadonlyArray<Topic>) => void>
  /** Looks now. */
  readonly look: () => void
  /** Looks again and again while `effect` waits. */
  readonly whileWaiting: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const make = (db: Database, files?: Files): Effect.Effect<Neighbours, never, Scope.Scope> =>
  Effect.gen(function* () {
    const listeners: Neighbours["listeners"] = new Set()
    if (!db.isShared) return { listeners, look: () => {}, whileWaiting: (effect) => effect }

    const version = () => db.get<{ data_version: number }>("PRAGMA data_version")!.data_version
    let seenVersion = version()
    let seenHint = db.get<{ value: number }>("SELECT value FROM meta WHERE key = 'hint'")!.value
    let changes = 0
    let waiters = 0
    const isAwaited = Latch.makeUnsafe()

    const look = (): void => {
      const current = version()
      if (current === seenVersion) return
      const hints = db.all<{ topic: Topic; number: number }>(
        "SELECT topic, number FROM hint WHERE number > ? ORDER BY number",
        seenHint,
      )
      // What is committed meanwhile changes the version again, and is looked for again.
      seenVersion = current
      seenHint = hints.at(-1)?.number ?? seenHint
      changes++
      for (const listener of listeners) listener(hints.map(({ topic }) => topic))
    }

    const clock = yield* Clock.Clock
    const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const isTold = Latch.makeUnsafe()
    const writes = yield* watched(db, () => isTold.openUnsafe(), files)

    /** Whether a look was taken: a file that is locked or away is looked at again soon. */
    const hasLooked = (): boolean => {
      try {
        look()
        return true
      } catch {
        return false
      }
    }

    const setWatch = (writes: WriteWatch): void => {
      isTold.closeUnsafe()
      if (!writes.set()) return
      const before = changes
      // What came before the watch is not for it to tell of.
      const isNext = db.isAtRest && hasLooked() && changes === before
      if (!isNext) writes.unset()
    }

    const lookAgain = Effect.gen(function* () {
      let pause = soonestMillis
      let seen = changes
      for (;;) {
        yield* isAwaited.await
        const isRelied = writes?.isRelied === true
        if (isRelied) yield* Effect.timeoutOption(isTold.await, reliedMillis)
        else yield* Effect.sleep(pause)
        const isHeard = isRelied && !writes.isSet
        hasLooked()
        const hasChanged = changes !== seen
        seen = changes
        pause = hasChanged || isHeard ? soonestMillis : Math.min(latestMillis, pause * 1.5)
        if (writes === undefined) continue
        const isWritten = writes.looked(monotonic(), hasChanged)
        if (pause === latestMillis && !isWritten && !writes.isSet) setWatch(writes)
      }
    })
    yield* Effect.forkScoped(lookAgain)

    return {
      listeners,
      look,
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

/** None by a clock that is not the system's: what the system tells does not come by that. */
const watched = (db: Database, told: () => void, files?: Files) =>
  Effect.gen(function* () {
    if ((yield* Clock.Clock) !== Context.get(Context.empty(), Clock.Clock)) return undefined
    // By the name that SQLite has resolved, beside which it keeps its log.
    const writes = new WriteWatch(`${db.sqlite.location()}-wal`, told, files)
    yield* Effect.addFinalizer(() => Effect.sync(() => writes.unset()))
    return writes
  })

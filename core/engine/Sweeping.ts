/**
 * What keeps runs moving: loops, under the duties `sweep` and `retention`.
 *
 * Due runs go where they wait, waiting runs pass their gates, what is too late expires, what takes too long
 * with an executor that is silent is ended, the runs of lost executors are freed, and what waits for one of
 * them is placed again. Another lets go of what has ended long ago. Each does its work in bounded batches,
 * may run anywhere and twice at once (the storage's laws R8, R11 and H5), and needs no state of its own: so
 * whoever holds the duty just does it, and a crash loses nothing but time.
 */
import { Clock, Duration, Effect, Random } from "effect"
import * as Hearing from "../services/Hearing.ts"
import * as InStep from "../services/InStep.ts"
import { type Duty, Ownership } from "../services/Ownership.ts"
import * as Placer from "../services/Placer.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { ofDue, soonMillis, Wakeups } from "../services/Wakeups.ts"
import { watcher } from "./Loops.ts"

export interface SweepOptions {
  /** How often lost executors and forgotten gates are looked for. */
  readonly sweepInterval?: Duration.Input
  /** How often due runs are looked for while none is known, or told, to come. */
  readonly dueInterval?: Duration.Input
  /** How often what ended long ago is looked for. */
  readonly retentionInterval?: Duration.Input
}

/** So many rows at most are moved by one command. */
const batch = 1000
/** After so many sweeps that were left out one is done. */
const restsMax = 9
/** However much is told to be due soon, what is not known to be due is looked for no more often. */
const dueLeastMillis = 50

export const run = Effect.fnUntraced(function* (options: SweepOptions) {
  const storage = yield* Storage
  const { history, permits, placements, runs } = storage
  const placer = Placer.make(storage)
  const ownership = yield* Ownership
  const watched = yield* watcher
  const clock = yield* Clock.Clock
  const wakeups = yield* Wakeups
  const sweepInterval = Duration.fromInputUnsafe(options.sweepInterval ?? "1 second")
  const retentionInterval = Duration.fromInputUnsafe(options.retentionInterval ?? "1 minute")
  const dueInterval = Duration.toMillis(
    Duration.fromInputUnsafe(options.dueInterval ?? Duration.millis(soonMillis)),
  )
  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const scheduled = yield* wakeups.subscribe([ofDue])
  const promote = Effect.gen(function* () {
    yield* scheduled.arm
    const { gates, nextInMillis, promoted, unplaced } = yield* runs.promote(batch)
    const lookedAt = monotonic()
    if (gates.length > 0) yield* placer.admit(gates)
    yield* placer.place(unplaced)
    if (promoted === batch) return
    const isTold = yield* scheduled.wait(Duration.millis(
      nextInMillis !== undefined && nextInMillis < dueInterval
        ? nextInMillis
        : yield* InStep.pause(storage, dueInterval),
    ))
    if (!isTold) return
    const least = Math.min(dueLeastMillis, nextInMillis ?? dueLeastMillis)
    yield* Effect.sleep(Math.max(0, lookedAt + least - monotonic()))
  })

  /** Sweeps of several processes do not keep in step. */
  const restUntilNext = (atMostMillis = Infinity) =>
    Effect.flatMap(
      InStep.pause(storage, Duration.toMillis(sweepInterval)),
      (millis) => Effect.sleep(Math.min(millis, atMostMillis)),
    )
  /** Says what silent executors have left to be said, and how long until more of it is. */
  const endOverdue = Effect.gen(function* () {
    const { freed, nextInMillis, reports } = yield* runs.endOverdue(batch)
    if (reports.length > 0) {
      yield* Effect.logWarning("ended what was over its time, as its executors are silent", {
        runs: reports.map(({ run }) => run),
      })
    }
    if (freed.length > 0) yield* placer.admit(freed)
    yield* Hearing.hear(permits, reports)
    return nextInMillis
  })

  /** Whether the storage was away: those who could not report meanwhile are let speak first. */
  let wasAway = false
  /** So often may the next sweeps be left out. */
  let mayRest = 0
  const sweep = Effect.gen(function* () {
    // All of what it does is looked for at once, since mostly there is none; and done now and then
    // whatever that says.
    if (mayRest > 0 && (yield* runs.isQuiet)) {
      mayRest--
      return yield* restUntilNext()
    }
    // What was over its time when its holder was lost has timed out, and was not lost.
    const nextInMillis = wasAway ? undefined : yield* endOverdue
    wasAway = false
    const { freed, lost, runs: freedRuns } = yield* runs.recover(batch)
    if (lost.length > 0) yield* Effect.logWarning("lost executors", { incarnations: lost })
    const expired = yield* runs.expire(batch)
    const open = yield* runs.openGates(batch)
    const gates = [...new Set([...freed, ...expired.freed, ...open])]
    if (gates.length > 0) yield* placer.admit(gates)
    const { displaced, lanes } = yield* placements.displace(batch)
    yield* placer.place(lanes)
    mayRest = restsMax
    if ([freedRuns, expired.runs, open].some(({ length }) => length === batch)) return
    if (displaced >= batch) return
    yield* restUntilNext(nextInMillis)
  }).pipe(Effect.tapError(() =>
    Effect.sync(() => {
      wasAway = true
    })
  ))

  const retire = Effect.gen(function* () {
    const [took, { hasMore }] = yield* Effect.timed(history.retire(batch))
    // While there is more, it takes half of the time at most.
    yield* Effect.sleep(hasMore ? took : yield* spread(retentionInterval))
  })

  let reached: string | undefined
  const forget = Effect.gen(function* () {
    const { next } = yield* permits.forget(batch, reached)
    reached = next
    yield* Effect.sleep(yield* spread(retentionInterval))
  })

  const loops: ReadonlyArray<Loop> = [
    { duty: "sweep", name: "promote due runs", step: promote, everyMillis: dueInterval },
    {
      duty: "sweep",
      name: "sweep",
      // Whoever has the duty anew does all of it at first: nobody may have, since who had it before died.
      begin: Effect.sync(() => void (mayRest = 0)),
      step: sweep,
      everyMillis: Duration.toMillis(sweepInterval),
    },
    {
      duty: "retention",
      name: "let go of what is old",
      step: retire,
      everyMillis: Duration.toMillis(retentionInterval),
    },
    {
      duty: "retention",
      name: "forget quiet keys of breakers",
      step: forget,
      everyMillis: Duration.toMillis(retentionInterval),
    },
  ]
  for (const { begin = Effect.void, duty, everyMillis, name, step } of loops) {
    const loop = Effect.andThen(begin, watched(name, everyMillis, step))
    yield* ownership.whileHeld(duty, loop).pipe(Effect.forkScoped)
  }
})

interface Loop {
  readonly duty: Duty
  readonly name: string
  /** Whenever this process has the duty anew. */
  readonly begin?: Effect.Effect<void>
  readonly step: Effect.Effect<void, StorageUnavailable>
  readonly everyMillis: number
}

/** Several processes do not do it at once. */
const spread = (interval: Duration.Duration) =>
  Effect.map(Random.next, (chance) => Duration.times(interval, 0.8 + 0.4 * chance))

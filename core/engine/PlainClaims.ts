/**
 * Claims what is plain: the runs of all tasks that are not narrow, in one call.
 *
 * Two *round loops* each send the reports that are ready and claim what the pool has use for, in one trip;
 * while one waits for its answer the other has the next batch. The first may wait long for work when there
 * is none; the second only goes out with reports, or while there is work. And while all places are taken by
 * what is narrow, a *look loop* hears whether there is plain work.
 */
import { Effect, Latch } from "effect"
import type { Incarnation } from "../domain/Executor.ts"
import * as Lane from "../domain/Lane.ts"
import type { SessionLost } from "../services/Transport.ts"
import { type Claimant, type Claimants, isNarrow } from "./Claimants.ts"
import type { Handler } from "./Handler.ts"
import type { Pool } from "./Pool.ts"
import type { Resting } from "./Resting.ts"
import { fewMillis, grantsMax, patientMillis, type Trip, type Trips } from "./Trips.ts"

const roundLoops = [0, 1]
const lookLoop = roundLoops.length
/** The first that is not of these loops. */
export const loopsEnd = lookLoop + 1

/** What is plain, as it claims for itself. */
export class Plain implements Claimant {
  readonly #pool: Pool
  readonly #resting: Resting
  readonly latches: ReadonlyArray<Latch.Latch> = roundLoops.map(() => Latch.makeUnsafe())
  passed = 0
  kept = 0
  asking = 0
  /** Whether the last claim found something. */
  hasMore = false
  /** The level of the last that was granted, if that says something of the next. */
  lastLevel: Lane.Level | undefined

  constructor(pool: Pool, resting: Resting) {
    this.#pool = pool
    this.#resting = resting
  }

  handlers(): ReadonlyArray<Handler> {
    return this.#pool.handlers.values()
      .filter(({ policy, task }) => !isNarrow(policy) && !this.#resting.has(task)).toArray()
  }

  level(): Lane.Level {
    if (this.lastLevel !== undefined) return this.lastLevel
    const levels = this.handlers().map(({ policy }) => policy.level ?? Lane.usual)
    return Math.min(...levels) as Lane.Level
  }

  most(): number {
    return this.handlers().length === 0 ? 0 : grantsMax
  }

  wake(): void {
    for (const latch of this.latches) latch.openUnsafe()
  }

  /** A new incarnation begins: nothing is under way, and there may be work. */
  begin(): void {
    this.hasMore = true
    this.lastLevel = undefined
    this.kept = this.asking = 0
  }
}

export interface PlainClaims {
  readonly rounds: ReadonlyArray<(self: Incarnation) => Effect.Effect<never, SessionLost>>
  readonly look: (self: Incarnation) => Effect.Effect<never, SessionLost>
}

export const make = (
  { claimants, hasOthers, plain, pool, trips }: {
    readonly claimants: Claimants
    /** Opens when other tasks are to be claimed than before. */
    readonly hasOthers: Latch.Latch
    readonly plain: Plain
    readonly pool: Pool
    readonly trips: Trips
  },
): PlainClaims => {
  for (const loop of roundLoops) claimants.wakes(loop, plain.latches[loop]!)

  const handlers = () => plain.handlers()

  const wanted = () =>
    plain.most() === 0 ? 0 : Math.max(plain.kept, claimants.leftFor(plain, pool.wanted()))

  const granted: Trip["granted"] = (grants, places) => {
    // What came besides can have the places as well.
    const more = grants.length - places
    if (more > 0) plain.kept = Math.max(0, plain.kept - more)
    pool.take(grants, places)
  }

  const roundLoop = Effect.fnUntraced(function* (self: Incarnation, loop: number) {
    const isPatient = loop === 0
    const latch = plain.latches[loop]!
    for (let round = 1;; round++) {
      let limit = 0
      for (;;) {
        yield* latch.close
        const count = wanted()
        limit = isPatient || plain.hasMore ? Math.max(0, Math.min(grantsMax, count)) : 0
        if (pool.hasReports() || plain.kept > 0 && limit > 0 || trips.isWorthIt(limit)) break
        if (limit > 0) yield* trips.waitForMore
        yield* latch.await
        // Let everything that ends in this turn of the event loop go out together.
        yield* Effect.yieldNow
      }
      const answer = yield* trips.go(self, {
        claimant: plain,
        loop,
        round,
        limit,
        isReporting: true,
        handlers,
        hasOthers,
        waitMillis: isPatient && !plain.hasMore ? patientMillis : 0,
        granted,
      })
      const last = answer.grants.at(-1)
      // Storage grants in order, so what it has left is no better, or came since.
      if (last !== undefined) plain.lastLevel = claimants.levelOf(last.task)
      if (limit > 0) plain.hasMore = last !== undefined
      // What was kept for it others can have.
      if (plain.hasMore || claimants.isAnyNarrow) claimants.wake()
      // Where storage answers at once, others would wait long for their turn of the processor.
      if (claimants.kept() > 0) yield* Effect.yieldNow
    }
  })

  /** While nobody waits for plain work, as all places are taken by what claims for itself. */
  const look = Effect.fnUntraced(function* (self: Incarnation) {
    const latch = Latch.makeUnsafe()
    claimants.wakes(lookLoop, latch)
    for (let round = 1;; round++) {
      for (;;) {
        yield* latch.close
        const isWaitedFor = plain.hasMore || claimants.idle > 0 || wanted() > 0
        if (!isWaitedFor && plain.most() > 0) break
        yield* latch.await
      }
      const { isReady } = yield* trips.look(self, {
        claimant: plain,
        loop: lookLoop,
        round,
        handlers,
        hasOthers,
      })
      if (isReady !== true || plain.hasMore) continue
      plain.hasMore = true
      plain.lastLevel = undefined
      claimants.wake()
      // Should it go elsewhere, there is no hurry.
      yield* Effect.sleep(fewMillis)
    }
  })

  return { rounds: roundLoops.map((loop) => (self) => roundLoop(self, loop)), look }
}

/**
 * Claims the runs of each narrow task by itself, in a *narrow loop* of its own, and no more than may start.
 * The permits are had where the claim is (X7), the places are here.
 *
 * 1. Of a task that is blocked per executor, this process has no more runs in hand than the policy says:
 *    from their grant until their report was answered, across loops, registrations and incarnations. What
 *    a late or doubled call was granted is not in hand, and starts nothing. Where the policy discards or
 *    replaces, it claims what comes also while it is busy, and the pool decides; what then ends
 *    unstarted, or waits, takes no place of a run that starts.
 */
import { Effect, FiberMap, Latch } from "effect"
import type { Incarnation } from "../domain/Executor.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { isRegulated, regulationOf } from "../domain/Permit.ts"
import * as Places from "../domain/Places.ts"
import * as Policy from "../domain/Policy.ts"
import type { TaskName } from "../domain/Task.ts"
import type { Grant } from "../services/RunStorage.ts"
import type { SessionLost } from "../services/Transport.ts"
import { type Claimant, type Claimants, isNarrow } from "./Claimants.ts"
import type { Handler } from "./Handler.ts"
import type { Pool } from "./Pool.ts"
import type { Resting } from "./Resting.ts"
import { type Answer, fewMillis, grantsMax, patientMillis, type Trips } from "./Trips.ts"

export interface NarrowClaims {
  /** One loop for each narrow task, numbered from there on; `beside` goes on from when there is one. */
  readonly loops: (
    self: Incarnation,
    from: number,
    beside: Effect.Effect<never, SessionLost>,
  ) => Effect.Effect<void, SessionLost>
  /** A task more is served. */
  readonly registered: () => void
}

export const make = (
  { claimants, namespace, pool, resting, trips }: {
    readonly claimants: Claimants
    readonly namespace: Namespace
    readonly pool: Pool
    readonly resting: Resting
    readonly trips: Trips
  },
): NarrowClaims => {
  const hasRegistered = Latch.makeUnsafe()
  const hasNarrow = Latch.makeUnsafe()
  /** Of each task that is blocked per executor: the runs that have its places here. */
  const inHand = new Map<TaskName, ReadonlyArray<Places.Held>>()

  const placesLeft = (task: TaskName, places: number) => {
    const taken = Places.taken(inHand.get(task) ?? [], trips.known())
    inHand.set(task, taken)
    return places - taken.length
  }

  const take = (
    { policy, task }: Handler,
    grants: ReadonlyArray<Grant>,
    places: number,
  ) => {
    const rule = Policy.ruleOfExecutor(policy)
    if (rule === undefined) return pool.take(grants, places)
    inHand.set(task, [...inHand.get(task) ?? [], ...grants])
    if (rule.whenFull === "wait") pool.take(grants, places)
    else pool.meet(grants, rule)
  }

  /** What comes meets a run here: however full the pool is, it needs no place of its own. */
  const isMet = ({ policy, task }: Handler) => {
    const rule = Policy.ruleOfExecutor(policy)
    return rule !== undefined && rule.whenFull !== "wait" && pool.isBusy(task)
  }

  /** How many runs of the task may be claimed now. */
  const roomFor = (handler: Handler, narrow: Claimant) => {
    const { policy, task } = handler
    if (resting.has(task)) return 0
    if (isMet(handler)) return grantsMax
    const rule = Policy.ruleOfExecutor(policy)
    const left = rule === undefined ? Infinity : placesLeft(task, rule.places)
    if (narrow.kept > 0) {
      const unheard = policy.breaker === undefined ? 0 : trips.calls()
      return Math.min(narrow.kept - unheard, left)
    }
    if (claimants.isRivalled(narrow)) return 0
    // Calls that a breaker has not heard of yet are no more than there are places; what needs no
    // permit may also wait in the queue. Neither stands back for a trip that waits for work, which
    // may not come for long.
    const open = isRegulated(policy) ? pool.free() - trips.unanswered() : pool.wanted()
    return Math.min(claimants.leftFor(narrow, open) + claimants.idle, left)
  }

  /** What can be had of a task by its claims: as many as its places, where it has some of its own. */
  const mostOf = (task: TaskName) => {
    const handler = pool.handlers.get(task)
    if (handler === undefined || resting.has(task) || isMet(handler)) return 0
    const rule = Policy.ruleOfExecutor(handler.policy)
    return rule === undefined ? grantsMax : placesLeft(task, rule.places)
  }

  /** Until nobody serves the task. */
  const narrowLoop = Effect.fnUntraced(
    function* (self: Incarnation, loop: number, task: TaskName) {
      const latch = Latch.makeUnsafe()
      claimants.wakes(loop, latch)
      const narrow: Claimant = {
        passed: 0,
        kept: 0,
        asking: 0,
        hasMore: false,
        level: () => claimants.levelOf(task),
        most: () => mostOf(task),
        wake: () => latch.openUnsafe(),
      }
      claimants.enter(task, narrow)
      hasNarrow.openUnsafe()
      let found = false
      let isLooked = false
      for (let round = 1;; round++) {
        let free = 0
        for (;;) {
          yield* latch.close
          const handler = pool.handlers.get(task)
          if (handler === undefined) return
          free = roomFor(handler, narrow)
          if (free > 0 || !narrow.hasMore && narrow.most() > 0) break
          yield* latch.await
        }
        const handler = pool.handlers.get(task)
        if (handler === undefined) return
        const regulation = regulationOf(namespace, task, handler.policy)
        const destination = { claimant: narrow, loop, round, handlers: () => [handler], regulation }
        if (free <= 0) {
          const { isReady } = yield* trips.look(self, destination)
          isLooked = found = narrow.hasMore = isReady === true
          claimants.share()
          continue
        }
        // A place that each idle task keeps free would be one that no other can have. So while it finds
        // nothing it asks for one that may have gone when it comes, and then waits for the next.
        const limit: number = found ? Math.min(grantsMax, free) : 1
        const { grants }: Answer = yield* trips.go(self, {
          ...destination,
          limit,
          reserved: found && !isMet(handler) ? limit : 0,
          isReporting: false,
          waitMillis: found ? 0 : patientMillis,
          granted: (grants, places) => {
            narrow.hasMore = grants.length >= limit
            take(handler, grants, places)
          },
        })
        // What was looked at has gone elsewhere.
        if (isLooked && grants.length === 0) yield* Effect.sleep(fewMillis)
        found = grants.length > 0
        isLooked = false
        claimants.wake()
      }
    },
    (loop, _self, _number, task) => Effect.ensuring(loop, Effect.sync(() => claimants.leave(task))),
  )

  const loops = Effect.fnUntraced(function* (
    self: Incarnation,
    from: number,
    beside: Effect.Effect<never, SessionLost>,
  ) {
    const fibers = yield* FiberMap.make<TaskName, void, SessionLost>()
    let loop = from
    const keepUp = Effect.gen(function* () {
      for (;;) {
        yield* hasRegistered.close
        for (const { policy, task } of pool.handlers.values()) {
          if (!isNarrow(policy) || FiberMap.hasUnsafe(fibers, task)) continue
          yield* FiberMap.run(fibers, task, narrowLoop(self, loop++, task))
        }
        yield* hasRegistered.await
      }
    })
    return yield* Effect.raceAllFirst([
      FiberMap.join(fibers),
      keepUp,
      Effect.andThen(hasNarrow.await, beside),
    ])
  }, Effect.scoped)

  return { loops, registered: () => hasRegistered.openUnsafe() }
}

/**
 * Carries runs out. It knows a `Transport` and nothing else of the world.
 *
 * Who does what, all in one scope:
 *
 * - The *pool* carries granted runs out and makes the reports.
 * - Two *round loops* each send the reports that are ready and claim what the pool has use for, in
 *   one trip; while one waits for its answer the other has the next batch. The first may wait long
 *   for work when there is none; the second only goes out with reports, or while there is work.
 * - Of each task whose runs need a permit to start, or that is blocked per executor, a *narrow loop*
 *   claims no more than may start. The permits are had where the claim is (X7), the places are here.
 * - The *beat loop* keeps the incarnation's lease and settles differences about who holds what. Its
 *   beats leave what is to be said of runs with a time-out if this process falls silent; and where that
 *   would be too late with the next one, it beats sooner.
 * - The *watch loop* waits for orders to stop a run, so that a cancel need not wait for a beat.
 * - The *tell loop* passes on what runs say: within `tellMillis`, and before their reports.
 *
 * 1. User code starts only while the lease is younger than two thirds of its ttl, counted from
 *    before the beat was sent; when it may have run out all that runs is stopped, whatever is being
 *    waited for.
 * 2. Reports are sent until an answer comes; sent twice they count once (R5).
 * 3. A claim is repeated under its round until an answer comes; it grants the same again (R7).
 *    What is granted past that, to a late or doubled call, is given back by `reconcile` (R13).
 * 4. Of a task that is blocked per executor, this process has no more runs in hand than the policy
 *    says: from their grant until their report was answered, across loops, registrations and
 *    incarnations. What a late or doubled call was granted is not in hand, and starts nothing.
 *    Where the policy discards or replaces, it claims what comes also while it is busy, and the pool
 *    decides; what then ends unstarted, or waits, takes no place of a run that starts.
 * 5. Of those who claim for themselves, the plain as one and each of the others, none waits behind all
 *    that another has: a place that is free while several have work goes by `Turns`, and is kept until
 *    who has it has claimed. Whoever finds nothing and has no place *looks*, so that it is known when it has.
 */
import {
  Cause,
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberMap,
  Latch,
  Layer,
  Option,
  Random,
  Schema,
  type Scope,
} from "effect"
import type { ByKey } from "../domain/Breaker.ts"
import type { Conclusion } from "../domain/Conclusion.ts"
import { type Incarnation, Joining, type Vitals } from "../domain/Executor.ts"
import * as Lane from "../domain/Lane.ts"
import type { Fence } from "../domain/Lease.ts"
import { isRegulated, type Regulation, regulationOf } from "../domain/Permit.ts"
import * as Places from "../domain/Places.ts"
import * as Policy from "../domain/Policy.ts"
import { PoolSizes } from "../domain/PoolSizes.ts"
import { refusalOf, Refused } from "../domain/Refused.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskName } from "../domain/Task.ts"
import { isRouted } from "../domain/Waiting.ts"
import { held } from "../services/ExecutorStorage.ts"
import {
  type Claimed,
  type Ending,
  endingsMax,
  type Grant,
  type Report,
} from "../services/RunStorage.ts"
import { type JoinRefused, SessionLost, Transport } from "../services/Transport.ts"
import { Beats } from "./Beats.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"
import { definitionOf, type Handler } from "./Handler.ts"
import { Isolation } from "./Isolation.ts"
import * as Pool from "./Pool.ts"
import { type Rival, Turns } from "./Turns.ts"

export interface ExecutorOptions {
  readonly name?: string
  /** So many runs are carried out at once: `core` and `maximum` in one. */
  readonly concurrency?: number
  /** So many runs are carried out at once while the queue has room. */
  readonly core?: number
  /** So many when the queue is full. */
  readonly maximum?: number
  /** So many runs wait in the executor; unless named as many as it will start within `prefetch`. */
  readonly queueLength?: number
  /** How far ahead runs are fetched, by how long they take. 100 milliseconds unless named. */
  readonly prefetch?: Duration.Input
  /** What selectors ask for. */
  readonly labels?: Readonly<Record<string, string>>
  /** What it offers to runs, as in `{ gpu: 1 }`. */
  readonly resources?: Readonly<Record<string, number>>
  /** The executor is lost when it has not been heard of for this long. */
  readonly ttl?: Duration.Input
  /** At the end running work has this long to finish before it is interrupted and given back. */
  readonly drainTimeout?: Duration.Input
  /** How long a handler that was interrupted may go on until it is stuck; 1.5 seconds unless named. */
  readonly stopTimeout?: Duration.Input
}

/** What is going on in an executor, for those who look on. */
export interface ExecutorStatus {
  readonly incarnation: Incarnation | undefined
  readonly running: number
  readonly queued: number
  /** Handlers that go on although they were interrupted. */
  readonly stuck: number
  readonly sizes: PoolSizes
}

export class Executor extends Context.Service<Executor, {
  /**
   * Serves a task as long as the scope lasts. At its end no run of the task starts any more, and
   * running ones may finish, so that what the handler needs can be closed after it. A second handler of
   * a task that is served is a defect, and the first goes on: which of the two a run met would be chance.
   */
  readonly register: (handler: Handler) => Effect.Effect<void, never, Scope.Scope>
  readonly status: Effect.Effect<ExecutorStatus>
  /** Changes the sizes of the pool while it runs. What has no room any more goes back. */
  readonly resize: (sizes: PoolSizes) => Effect.Effect<void, Refused>
  /** Fails when it has stopped for good: it may not join any more, or a task of it was refused. */
  readonly stopped: Effect.Effect<never, JoinRefused | Refused>
}>()("belfry/core/engine/Executor") {
  static readonly layerWith = (
    options: ExecutorOptions,
  ): Layer.Layer<Executor, Refused | JoinRefused, Transport> =>
    Layer.effect(Executor, Effect.suspend(() => make(options)))

  static readonly layer: Layer.Layer<Executor, Refused | JoinRefused, Transport> = Layer.suspend(
    () => Executor.layerWith({}),
  )
}

// 200 a round cost a quarter more processor time a run than 400, and 500 no less: a round's own cost
// is a commit and the start of a statement. Prefetch is bounded by time, so long runs never see it.
const grantsMax = 400
const reportsMax = 1000
const patientMillis = 20_000
/** A few free places wait so long for more of them. */
const fewMillis = 100
/** What a run says goes out within this time, and that it has begun, if others may have to end it. */
const tellMillis = 250
const loops = [0, 1]

/** So long it claims nothing of a task of which it has given a run back. */
const restMillis = 5000

/** How many of its runs may start is not for the pool alone to say. */
const isNarrow = (policy: Policy.Policy): boolean =>
  isRegulated(policy) || Policy.ruleOfExecutor(policy) !== undefined

/** Its retries go by how long its runs have been due. */
const isBoundByAge = ({ policy }: Handler): boolean => policy.retry.withinMillis !== undefined

/** Somebody who claims for itself, while others do too. */
interface Claimant extends Rival {
  /** Of what it has next, as far as is known. */
  readonly level: () => Lane.Level
  /** Whether it has more, as far as is known, than there were places for. */
  readonly isHungry: () => boolean
  /** How many places it can have. */
  readonly most: () => number
  readonly wake: () => void
  /** Places that are kept for it, which it has not asked with yet. */
  kept: number
  /** Those for which a claim is under way. */
  asking: number
}

/** As said by its answers. */
interface Narrow extends Claimant {
  hasMore: boolean
}

/** So many of the runs that wait in the pool are looked at for the one that starts next. */
const queuedLooked = 100

/** One exchange of reports for grants. */
interface Trip {
  readonly loop: number
  readonly round: number
  /** Of whose tasks runs are wanted, as of then. */
  readonly handlers: () => ReadonlyArray<Handler>
  readonly limit: number
  /** So many places are kept for what comes; `limit` unless named. */
  readonly reserved?: number
  /** It takes along what is to be reported. */
  readonly isReporting: boolean
  /** If it reports nothing. */
  readonly waitMillis: number
  readonly regulation?: Regulation | undefined
  /** What is granted takes places of its task, which is blocked per executor. */
  readonly blocked?: Handler | undefined
  readonly claimant: Claimant
  /** It asks whether there is something, and claims nothing. */
  readonly looks?: true
  /** So many were granted, which are about to start. */
  readonly heard?: (count: number) => void
}

const make = Effect.fnUntraced(function* (options: ExecutorOptions) {
  const transport = yield* Transport
  const beats = Option.getOrUndefined(yield* Effect.serviceOption(Beats))
  const isolation = Option.getOrUndefined(yield* Effect.serviceOption(Isolation))
  const clock = yield* Clock.Clock
  const joining = yield* joiningOf(options)
  const { labels, namespace, ttlMillis } = joining
  const sizes = yield* sizesOf(options)
  const stopMillis = Duration.toMillis(
    Duration.fromInputUnsafe(options.stopTimeout ?? "750 millis"),
  )
  const drainTimeout = Duration.fromInputUnsafe(options.drainTimeout ?? "10 seconds")

  /** By the number of the loop, which need not begin in the order of these. */
  const changed = new Map(loops.map((loop) => [loop, Latch.makeUnsafe()]))
  const served = Latch.makeUnsafe()
  const registered = Latch.makeUnsafe()
  /** Opens when other tasks are to be claimed than before. */
  const hasOtherTasks = Latch.makeUnsafe()
  const wake = () => {
    share()
    for (const latch of changed.values()) latch.openUnsafe()
  }

  const stopped = Deferred.makeUnsafe<never, JoinRefused | Refused>()

  let incarnation: Incarnation | undefined
  let isDraining = false
  /** Whether the last claim found something. */
  let hasFound = false
  /** Whether a few places that are free wait for more of them. */
  let waiting: "not" | "waits" | "has waited" = "not"
  /** Grants asked for, and reports sent, that no answer has come to. */
  let asked = 0
  /** Of these, what a trip keeps that waits for work: perhaps none comes. */
  let idle = 0
  const sending = new Set<ReadonlyArray<Report>>()
  /** The last round of each loop that was answered. */
  const answered = new Map<number, number>()

  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const pause = Effect.flatMap(Random.next, (chance) => Effect.sleep(100 + 300 * chance))

  const mark = ({ fence, run }: Grant, ending: Ending | undefined) =>
    untilAnswered(
      transport.start(incarnation!, [{ run, fence, ...(ending !== undefined && { ending }) }]),
    ).pipe(
      Effect.timeoutOption(ttlMillis / 2),
      Effect.map((answer) => Option.isSome(answer) && answer.value[0] === true),
    )

  const pass = ({ run, task }: Grant, policy: Policy.Policy, { name }: ByKey) =>
    untilAnswered(
      Effect.suspend(() => transport.pass(run, name, regulationOf(namespace, task, policy))),
    ).pipe(
      Effect.timeoutOption(ttlMillis / 2),
      Effect.map(Option.getOrUndefined),
    )

  const recall = ({ namespace, task }: Grant, key: string) =>
    Effect.map(untilAnswered(transport.state(namespace, task, key)), Option.getOrUndefined)

  const conclude = ({ fence, run }: Grant, conclusion: Conclusion) =>
    untilAnswered(
      Effect.suspend(() => transport.conclude(incarnation!, [{ run, fence, conclusion }])),
    ).pipe(Effect.map(([isOurs]) => isOurs === true))

  /** Tasks of which it has given a run back. It claims none of them for a while: others can have it. */
  const resting = new Set<TaskName>()
  const hasResting = Latch.makeUnsafe()

  /** Opens when other endings than before may have to be left, and then when they have to. */
  const hasEndings = Latch.makeUnsafe()
  const isToBeat = Latch.makeUnsafe()
  /** Until when, by run and fence, was left with the last beat; as far as storage may know of it. */
  let left: ReadonlyMap<string, number> = new Map()
  let leftTimes = 0

  const news = Latch.makeUnsafe()
  const urgent = Latch.makeUnsafe()

  const turns = new Turns()
  /** Of each task that claims for itself. */
  const narrows = new Map<TaskName, Narrow>()
  const hasNarrow = Latch.makeUnsafe()
  /** Of what is plain: the level of the last that was granted, if that says something of the next. */
  let plainLevel: Lane.Level | undefined
  const levelOf = (task: TaskName) => pool.handlers.get(task)?.policy.level ?? Lane.usual

  const plainly: Claimant = {
    passed: 0,
    kept: 0,
    asking: 0,
    level: () => plainLevel ?? Math.min(...plain().map(({ task }) => levelOf(task))) as Lane.Level,
    isHungry: () => hasFound,
    most: () => isDraining || plain().length === 0 ? 0 : grantsMax,
    wake: () => {
      for (const loop of loops) changed.get(loop)?.openUnsafe()
    },
  }

  const order: Pool.Order = {
    kept: () => {
      if (narrows.size === 0) return 0
      let sum = plainly.kept + plainly.asking
      for (const { asking, kept } of narrows.values()) sum += kept + asking
      return sum
    },
    next: (queue) => {
      if (!narrows.values().some(isWanting)) return 0
      const firsts = new Map<Claimant, { readonly level: Lane.Level; readonly at: number }>()
      for (const [at, { task }] of queue.slice(0, queuedLooked).entries()) {
        const claimant = narrows.get(task) ?? plainly
        const level = levelOf(task)
        if (level < (firsts.get(claimant)?.level ?? Infinity)) firsts.set(claimant, { level, at })
      }
      const here = firsts.entries().map(([rival, first]) => ({ rival, ...first })).toArray()
      const chosen = turns.next(withKeepers(here, ({ rival }) => firsts.has(rival)))
      if (chosen !== undefined && "at" in chosen) return chosen.at
      if (chosen === undefined) return 0
      keep(chosen.rival)
      return undefined
    },
  }

  const isWanting = (claimant: Claimant) => claimant.isHungry() && claimant.most() > 0

  /** And those of whom nothing is here, and who may have a place kept. */
  const withKeepers = <C extends { readonly rival: Claimant; readonly level: Lane.Level }>(
    here: ReadonlyArray<C>,
    isHere: (contender: { readonly rival: Claimant }) => boolean,
  ) => {
    const others = [plainly, ...narrows.values()]
      .map((rival) => ({ rival }))
      .filter((contender) => !isHere(contender) && isWanting(contender.rival))
      .map(({ rival }) => ({ rival, level: rival.level() }))
    const all = [...here, ...others]
    const half = Math.max(1, Math.floor(pool.sizes().core / 2))
    return [
      ...here,
      ...others.filter(({ level, rival }) => {
        // While an answer is under way its places are empty, which only the best should cost others.
        const isBest = all.every((other) => other.rival === rival || other.level > level)
        const places = rival.kept + rival.asking
        return places < rival.most() && (isBest || places < half)
      }),
    ]
  }

  const keep = (claimant: Claimant) => {
    claimant.kept++
    claimant.wake()
  }

  /** Says whose the places are that nobody is in, and takes back what is kept for who has nothing. */
  const share = () => {
    if (narrows.size === 0) plainly.kept = 0
    if (!narrows.values().some(({ hasMore }) => hasMore) && order.kept() === 0) return
    let isGivenBack = false
    let wanting = 0
    let asking = 0
    for (const claimant of [plainly, ...narrows.values()]) {
      const isIt = isWanting(claimant)
      if (isIt) wanting++
      asking += claimant.asking
      if (claimant.kept === 0) continue
      const most = isIt ? Math.max(0, claimant.most() - claimant.asking) : 0
      isGivenBack ||= claimant.kept > most
      claimant.kept = Math.min(claimant.kept, most)
    }
    if (wanting > 1) {
      const coming = Math.max(0, asked - idle - asking)
      for (let vacant = pool.vacant() - order.kept() - coming; vacant > 0; vacant--) {
        const chosen = turns.next(withKeepers([], () => false))
        if (chosen === undefined) break
        keep(chosen.rival)
      }
    }
    if (!isGivenBack) return
    pool.fill()
    for (const latch of changed.values()) latch.openUnsafe()
  }

  const keptForOthers = (claimant: Claimant) =>
    narrows.size === 0 ? 0 : [plainly, ...narrows.values()]
      .reduce((sum, { kept }) => sum + kept, 0) - claimant.kept

  const pool: Pool.Pool = yield* Pool.make({
    order,
    sizes,
    labels,
    stopMillis,
    mark,
    pass,
    conclude,
    recall,
    onChange: wake,
    onTimed: beats?.begins,
    onEndings: () => hasEndings.openUnsafe(),
    onGivenBack: (task) => {
      resting.add(task)
      hasResting.openUnsafe()
      hasOtherTasks.openUnsafe()
    },
    onNews: (isUrgent) => {
      news.openUnsafe()
      if (isUrgent) urgent.openUnsafe()
    },
  })
  /** The sizes that were last wished by others, as text. */
  let wished: string | undefined

  /** Repeats a call while no answer comes. */
  const untilAnswered = <A, E extends { readonly _tag: string }>(
    call: Effect.Effect<A, E>,
  ): Effect.Effect<A, Exclude<E, { readonly _tag: "TransportUnavailable" }>> =>
    Effect.catch(
      call,
      (error) =>
        error._tag === "TransportUnavailable"
          ? Effect.logDebug(error).pipe(Effect.andThen(pause), Effect.andThen(untilAnswered(call)))
          : Effect.fail(error as Exclude<E, { readonly _tag: "TransportUnavailable" }>),
    )

  /** How many reports are on their way. */
  const unanswered = () => sending.values().reduce((sum, { length }) => sum + length, 0)

  const known = () => [...pool.known(), ...[...sending].flat()]

  const roundLoop = Effect.fnUntraced(function* (self: Incarnation, loop: number) {
    const isPatient = loop === 0
    const latch = changed.get(loop)!
    for (let round = 1;; round++) {
      let limit = 0
      for (;;) {
        yield* latch.close
        const wanted = plainWanted()
        limit = isPatient || hasFound ? Math.max(0, Math.min(grantsMax, wanted)) : 0
        if (pool.hasReports() || plainly.kept > 0 && limit > 0 || isWorthATrip(limit)) break
        if (limit > 0) yield* waitForMore
        yield* latch.await
        // Let everything that ends in this turn of the event loop go out together.
        yield* Effect.yieldNow
      }
      const answer = yield* exchange(self, {
        claimant: plainly,
        loop,
        round,
        limit,
        isReporting: true,
        handlers: plain,
        waitMillis: isPatient && !hasFound ? patientMillis : 0,
      })
      const last = answer.grants.at(-1)
      // Storage grants in order, so what it has left is no better, or came since.
      if (last !== undefined) plainLevel = levelOf(last.task)
      if (limit > 0) hasFound = last !== undefined
      // What was kept for it others can have.
      if (hasFound || narrows.size > 0) wake()
      // Where storage answers at once, others would wait long for their turn of the processor.
      if (order.kept() > 0) yield* Effect.yieldNow
    }
  })

  const plainWanted = () => {
    if (isDraining || plain().length === 0) return 0
    return Math.max(plainly.kept, pool.wanted() - asked - keptForOthers(plainly))
  }

  /** While nobody waits for plain work, as all places are taken by what claims for itself. */
  const plainLookLoop = Effect.fnUntraced(function* (self: Incarnation, loop: number) {
    const latch = Latch.makeUnsafe()
    changed.set(loop, latch)
    for (let round = 1;; round++) {
      for (;;) {
        yield* latch.close
        const isWaitedFor = hasFound || idle > 0 || plainWanted() > 0
        if (!isWaitedFor && plainly.most() > 0) break
        yield* latch.await
      }
      const { isReady } = yield* look(self, { claimant: plainly, loop, round, handlers: plain })
      if (isReady !== true || hasFound) continue
      hasFound = true
      plainLevel = undefined
      wake()
      // Should it go elsewhere, there is no hurry.
      yield* Effect.sleep(fewMillis)
    }
  })

  const look = (
    self: Incarnation,
    trip: Pick<Trip, "claimant" | "loop" | "round" | "handlers" | "regulation">,
  ) =>
    exchange(self, {
      ...trip,
      looks: true,
      limit: 0,
      isReporting: false,
      waitMillis: patientMillis,
    })

  /** Of each task that is blocked per executor: the runs that have its places here. */
  const inHand = new Map<TaskName, ReadonlyArray<Places.Held>>()

  const placesLeft = (task: TaskName, places: number) => {
    const taken = Places.taken(inHand.get(task) ?? [], known())
    inHand.set(task, taken)
    return places - taken.length
  }

  const takeBlocked = (
    { policy, task }: Handler,
    grants: ReadonlyArray<Grant>,
    places: number,
  ) => {
    const rule = Policy.ruleOfExecutor(policy)!
    inHand.set(task, [...inHand.get(task) ?? [], ...grants])
    if (rule.whenFull === "wait") pool.take(grants, places)
    else pool.meet(grants, rule)
  }

  /** What comes meets a run here: however full the pool is, it needs no place of its own. */
  const isMet = ({ policy, task }: Pick<Handler, "policy" | "task">) => {
    const rule = Policy.ruleOfExecutor(policy)
    return rule !== undefined && rule.whenFull !== "wait" && pool.isBusy(task)
  }

  /** How many runs of the task may be claimed now. */
  const roomFor = ({ policy, task }: Handler, narrow: Narrow) => {
    if (isDraining || resting.has(task)) return 0
    if (isMet({ policy, task })) return grantsMax
    const rule = Policy.ruleOfExecutor(policy)
    const left = rule === undefined ? Infinity : placesLeft(task, rule.places)
    if (narrow.kept > 0) {
      const unheard = policy.breaker === undefined
        ? 0
        : pool.calls() + [...sending].reduce((sum, each) => sum + Pool.callsIn(each), 0)
      return Math.min(narrow.kept - unheard, left)
    }
    const isRivalled = [plainly, ...narrows.values()]
      .some((other) => other !== narrow && isWanting(other))
    if (isRivalled) return 0
    // Calls that a breaker has not heard of yet are no more than there are places; what needs no
    // permit may also wait in the queue. Neither stands back for a trip that waits for work, which
    // may not come for long.
    const open = isRegulated(policy) ? pool.free() - unanswered() : pool.wanted()
    return Math.min(open - asked + idle - keptForOthers(narrow), left)
  }

  /** What can be had of a task by its claims: as many as its places, where it has some of its own. */
  const mostOf = (task: TaskName) => {
    const handler = pool.handlers.get(task)
    if (handler === undefined || isDraining || resting.has(task) || isMet(handler)) return 0
    const rule = Policy.ruleOfExecutor(handler.policy)
    return rule === undefined ? grantsMax : placesLeft(task, rule.places)
  }

  /** Claims the runs of one task that need a permit or a place, until nobody serves it. */
  const narrowLoop = Effect.fnUntraced(
    function* (self: Incarnation, loop: number, task: TaskName) {
      const latch = Latch.makeUnsafe()
      changed.set(loop, latch)
      const narrow: Narrow = {
        passed: 0,
        kept: 0,
        asking: 0,
        hasMore: false,
        level: () => levelOf(task),
        isHungry: () => narrow.hasMore,
        most: () => mostOf(task),
        wake: () => latch.openUnsafe(),
      }
      narrows.set(task, narrow)
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
        const trip = { claimant: narrow, loop, round, handlers: () => [handler], regulation }
        if (free <= 0) {
          const { isReady } = yield* look(self, trip)
          isLooked = found = narrow.hasMore = isReady === true
          share()
          continue
        }
        // A place that each idle task keeps free would be one that no other can have. So while it finds
        // nothing it asks for one that may have gone when it comes, and then waits for the next.
        const limit: number = found ? Math.min(grantsMax, free) : 1
        const { grants }: Pick<Claimed, "grants"> = yield* exchange(self, {
          ...trip,
          limit,
          reserved: found && !isMet(handler) ? limit : 0,
          isReporting: false,
          waitMillis: found ? 0 : patientMillis,
          heard: (count) => {
            narrow.hasMore = count >= limit
          },
          blocked: Policy.ruleOfExecutor(handler.policy) !== undefined ? handler : undefined,
        })
        // What was looked at has gone elsewhere.
        if (isLooked && grants.length === 0) yield* Effect.sleep(fewMillis)
        found = grants.length > 0
        isLooked = false
        wake()
      }
    },
    (loop, _self, _number, task) =>
      Effect.ensuring(
        loop,
        Effect.sync(() => {
          narrows.delete(task)
          wake()
          pool.fill()
        }),
      ),
  )

  const narrowLoops = Effect.fnUntraced(function* (self: Incarnation) {
    const fibers = yield* FiberMap.make<TaskName, void, SessionLost>()
    const looking = loops.length
    let loop = looking + 1
    const keepUp = Effect.gen(function* () {
      for (;;) {
        yield* registered.close
        for (const { policy, task } of pool.handlers.values()) {
          if (!isNarrow(policy) || FiberMap.hasUnsafe(fibers, task)) continue
          yield* FiberMap.run(fibers, task, narrowLoop(self, loop++, task))
        }
        yield* registered.await
      }
    })
    const lookUp = Effect.andThen(hasNarrow.await, plainLookLoop(self, looking))
    return yield* Effect.raceAllFirst([FiberMap.join(fibers), keepUp, lookUp])
  }, Effect.scoped)

  const plain = () =>
    pool.handlers.values()
      .filter(({ policy, task }) => !isNarrow(policy) && !resting.has(task)).toArray()

  /**
   * While many are under way, fetching a few more costs as much as fetching many. So a few are fetched
   * when more places are not free soon: those that run may do so for hours.
   */
  const isWorthATrip = (limit: number) =>
    limit > 0 &&
    (waiting === "has waited" || pool.running() + pool.queued() === 0 ||
      limit * 4 >= Math.min(grantsMax, pool.sizes().core))

  const waitForMore = Effect.suspend(() => {
    if (waiting !== "not") return Effect.void
    waiting = "waits"
    return Effect.sleep(fewMillis).pipe(
      Effect.andThen(Effect.sync(() => {
        waiting = "has waited"
        wake()
      })),
      Effect.forkChild,
    )
  })

  /**
   * Whoever waits for work waits for that of all tasks that are served meanwhile: the call is given up, and
   * made again for the same round, which hands out what the one before may have been granted.
   */
  const upToDate =
    <A, E>(call: (isAgain: boolean) => Effect.Effect<A, E>) =>
    (isAgain: boolean): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        hasOtherTasks.closeUnsafe()
        return Effect.raceFirst(
          Effect.asSome(call(isAgain)),
          Effect.as(hasOtherTasks.await, Option.none<A>()),
        )
      }).pipe(
        Effect.flatMap((answer) =>
          Option.isSome(answer) ? Effect.succeed(answer.value) : upToDate(call)(true)
        ),
      )

  const exchange = Effect.fnUntraced(function* (self: Incarnation, trip: Trip) {
    const { blocked, claimant, handlers, isReporting, limit, loop, looks } = trip
    const { regulation, reserved = limit } = trip
    const { round } = trip
    const lanesOf = ({ policy, task }: Handler) => {
      const claimed = Lane.claimed(namespace, task, policy.selector, labels)
      return isRouted(policy) ? [...claimed, Lane.ofExecutor(namespace, task, self)] : claimed
    }
    // Reports are on their way as soon as they are taken: a fiber may yield between any two effects, and
    // a beat that knew of neither would have storage give their runs to others.
    const set = Effect.sync(() => {
      const reports = isReporting ? pool.takeReports(reportsMax) : []
      sending.add(reports)
      if (limit > 0 && waiting === "has waited") waiting = "not"
      // Another loop may have taken the reports that it was to go for: it would wait for nothing.
      const isIdle = trip.waitMillis > 0 && reports.length === 0 && (limit > 0 || looks === true)
      asked += reserved
      if (isIdle) idle += reserved
      // Places that are kept are not kept for what may not come for long.
      const places = trip.waitMillis > 0 ? 0 : Math.min(claimant.kept, limit)
      claimant.kept -= places
      claimant.asking += places
      return { reports, isIdle, places }
    })
    const answer = yield* Effect.acquireUseRelease(
      set,
      ({ isIdle, places, reports }) => {
        const call = (isAgain: boolean) =>
          Effect.suspend(() => {
            const served = handlers()
            return transport.round({
              incarnation: self,
              loop,
              round,
              isAgain,
              lanes: served.flatMap(lanesOf),
              limit: served.length === 0 ? 0 : limit,
              reports,
              waitMillis: isIdle ? trip.waitMillis : 0,
              ...(regulation !== undefined && { regulation }),
              ...(looks && { looks }),
              ...(served.some(isBoundByAge) && { tellsAge: true as const }),
            })
          })
        const ask = claimant === plainly && isIdle ? upToDate(call) : call
        return ask(false).pipe(
          Effect.catchTag(
            "TransportUnavailable",
            () => Effect.andThen(pause, untilAnswered(ask(true))),
          ),
          // What has not been freed yet still counts; what has is fenced.
          Effect.tapError(() => Effect.ignore(transport.settle(self, reports))),
          Effect.map((answer) => ({ ...answer, places })),
        )
      },
      ({ isIdle, places, reports }, exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) claimant.asking -= places
          asked -= reserved
          if (isIdle) idle -= reserved
          sending.delete(reports)
          // What was kept for this trip others may ask for now: were they not told, and nothing came,
          // the loop that waits for work could be the one that waits here, for ever.
          if (reserved > 0 || reports.length > 0) wake()
        }),
    )
    answered.set(loop, round)
    const { grants, places } = answer
    claimant.asking -= places
    trip.heard?.(grants.length)
    // What came besides can have the places as well.
    const more = grants.length - places
    if (claimant === plainly && more > 0) claimant.kept = Math.max(0, claimant.kept - more)
    if (blocked === undefined) pool.take(grants, places)
    else takeBlocked(blocked, grants, places)
    return answer
  })

  /** Storage may hand its runs on: what of them goes on here is stopped before anything else is waited for. */
  const lost = (self: Incarnation) =>
    Effect.suspend(() => {
      letGo()
      return Effect.fail(new SessionLost({ incarnation: self }))
    })

  const letGo = () => {
    pool.keepFresh(0)
    pool.abandonAll()
  }

  const beatLoop = (self: Incarnation, joinedAt: number) => {
    let confirmedAt = joinedAt
    const leaseEndsAt = () => {
      // Somebody else may have kept the lease while this thread was held up.
      confirmedAt = Math.max(confirmedAt, monotonic() - (beats?.keptMillisAgo(self) ?? Infinity))
      return confirmedAt + ttlMillis
    }

    // By a clock of its own: a beat, or what follows it, may be waiting for an answer by then.
    const end = Effect.gen(function* () {
      for (let looksAt = joinedAt + ttlMillis;;) {
        const now = monotonic()
        const endsAt = leaseEndsAt()
        if (endsAt > now) {
          looksAt = endsAt
        } else if (now - looksAt < ttlMillis / 4) {
          return yield* lost(self)
        } else {
          // This thread was held up, and could not beat. It may not be lost, so it asks once more.
          isToBeat.openUnsafe()
          looksAt = now + ttlMillis / 4
        }
        yield* Effect.sleep(Math.ceil(looksAt - now))
      }
    })

    const beat = Effect.gen(function* () {
      isToBeat.closeUnsafe()
      const sentAt = monotonic()
      const now = { held: held(known()), vitals: vitals() }
      beats?.heard({ incarnation: self, ttlMillis, ...now, endings: pool.endings() })
      const leaving = endingsToLeave()
      const answer = yield* transport.beat(self, now.held, now.vitals, leaving.said).pipe(
        Effect.timeout(ttlMillis / 4),
        Effect.option,
      )
      left = Option.isSome(answer) ? leaving.until : new Map([...left, ...leaving.until])
      if (Option.isNone(answer)) {
        if (leaving.said !== undefined) hasEndings.openUnsafe()
        return
      }
      if (answer.value._tag === "Lost") return yield* lost(self)
      confirmedAt = sentAt
      pool.keepFresh(sentAt + ttlMillis * 2 / 3)
      answer.value.revoked.forEach(pool.revoke)
      if (answer.value.sizes !== undefined) asWished(answer.value.sizes)
      if (!answer.value.isAgreed) yield* reconcile(self)
    })

    return Effect.gen(function* () {
      left = new Map()
      yield* Effect.forkChild(endingsLoop(leaseEndsAt))
      beats?.heard({ incarnation: self, ttlMillis, held: held([]), vitals: vitals(), endings: [] })
      pool.keepFresh(joinedAt + ttlMillis * 2 / 3)
      const beating = Effect.raceFirst(Effect.sleep(ttlMillis / 4), isToBeat.await).pipe(
        Effect.andThen(beat),
        Effect.forever,
      )
      return yield* Effect.raceFirst(beating, end)
    })
  }

  /** What the lease ends before is not left: it is then lost. */
  const endingsToLeave = () => {
    const all = pool.endingsLeft().filter(({ inMillis }) => inMillis < ttlMillis)
      .toSorted((one, other) => one.inMillis - other.inMillis).slice(0, endingsMax)
    const now = monotonic()
    const until = new Map(
      all.map(({ inMillis, report }) => [Places.nameOf(report), now + inMillis] as const),
    )
    // Most executors have never had any, and say nothing of it.
    const isNone = all.length === 0 && left.size === 0
    return { until, said: isNone ? undefined : { number: ++leftTimes, all } }
  }

  /** Whether storage, left with what it knows, would end a run too late, or one that goes on. */
  const isToLeaveSoon = (leaseEndsAt: number) => {
    const now = monotonic()
    for (const { inMillis, report } of pool.endingsLeft(tellMillis / 2)) {
      const at = now + inMillis
      const isOther = Math.abs(at - (left.get(Places.nameOf(report)) ?? Infinity)) > tellMillis
      if (at < leaseEndsAt && isOther) return true
    }
    const wanted = new Set(pool.endingsLeft().map(({ report }) => Places.nameOf(report)))
    const mine = new Set(known().map(Places.nameOf))
    const soon = now + ttlMillis / 2
    return left.entries().some(([name, at]) => at < soon && !wanted.has(name) && mine.has(name))
  }

  const endingsLoop = (leaseEndsAt: () => number) =>
    Effect.gen(function* () {
      yield* hasEndings.await
      hasEndings.closeUnsafe()
      // Most have ended by then, and nothing need be said of them.
      yield* Effect.sleep(tellMillis / 2)
      if (isToLeaveSoon(leaseEndsAt())) isToBeat.openUnsafe()
    }).pipe(Effect.forever)

  const vitals = (): Vitals => ({
    sizes: pool.sizes(),
    running: pool.running(),
    queued: pool.queued(),
    stuck: pool.stuck(),
  })

  /** Each wish counts once, so that what the program itself changes later stays. */
  const asWished = (sizes: PoolSizes) => {
    const text = JSON.stringify(sizes)
    if (text !== wished) pool.resize(sizes)
    wished = text
  }

  const reconcile = Effect.fnUntraced(function* (self: Incarnation) {
    const mine = known()
    // What was granted here again has passed on from what it was before, which may still be ending.
    const last = new Map<RunId, Fence>()
    for (const { fence, run } of mine) {
      if (fence > (last.get(run) ?? -1)) last.set(run, fence)
    }
    const grants = [...last].map(([run, fence]) => ({ run, fence }))
    const rounds = [...answered].map(([loop, round]) => ({ loop, round }))
    // Without an answer it is asked again after the next beat, which must not wait for this one.
    const passed = yield* transport.reconcile(self, { grants, rounds }).pipe(
      Effect.timeout(ttlMillis / 4),
      Effect.orElseSucceed(() => []),
    )
    const gone = new Set(passed)
    for (const { fence, run } of mine) {
      if (gone.has(run) || fence !== last.get(run)) pool.abandon(run, fence)
    }
  })

  const watchLoop = (self: Incarnation) =>
    Effect.gen(function* () {
      const revoked = yield* transport.revocations(self)
      revoked.forEach(pool.revoke)
      // The same order comes again until the run's report has arrived.
      yield* Effect.sleep(50)
    }).pipe(Effect.catchTag("TransportUnavailable", () => pause), Effect.forever)

  const tellLoop = Effect.gen(function* () {
    for (;;) {
      yield* news.await
      yield* Effect.raceFirst(Effect.sleep(tellMillis), urgent.await)
      news.closeUnsafe()
      urgent.closeUnsafe()
      while (pool.hasNews()) {
        const told = pool.takeNews()
        // No report waits for ever for what its run said: that is then left out.
        if (told.length > 0) {
          yield* untilAnswered(Effect.suspend(() => transport.tell(incarnation!, told))).pipe(
            Effect.timeoutOption(ttlMillis),
          )
        }
        pool.told()
      }
    }
  })

  const serveLoop = Effect.fnUntraced(function* (self: Incarnation) {
    for (;;) {
      yield* served.close
      yield* untilAnswered(transport.serve(self, definitions()))
      wake()
      if (Option.isSome(yield* Effect.timeoutOption(served.await, ttlMillis))) continue
      // A call from before, which said less, may have come after it. It has had time to.
      yield* untilAnswered(transport.serve(self, definitions()))
      yield* served.await
    }
  })

  const definitions = () =>
    [...pool.handlers.values()].map((handler) => definitionOf(namespace, handler))

  yield* Effect.forkScoped(tellLoop)
  yield* Effect.forkScoped(Effect.forever(Effect.gen(function* () {
    yield* hasResting.await
    yield* hasResting.close
    yield* Effect.sleep(restMillis)
    resting.clear()
    hasOtherTasks.openUnsafe()
    wake()
  })))

  /** Joins, and lives as that incarnation until it is lost. */
  const live = Effect.fnUntraced(function* (self: Incarnation, joinedAt: number) {
    incarnation = self
    answered.clear()
    hasFound = true
    waiting = "not"
    plainLevel = undefined
    plainly.kept = plainly.asking = 0
    wake()
    yield* Effect.raceAllFirst([
      serveLoop(self),
      beatLoop(self, joinedAt),
      watchLoop(self),
      narrowLoops(self),
      ...loops.map((loop) => roundLoop(self, loop)),
    ]).pipe(
      Effect.catchTag(
        "SessionLost",
        () => Effect.logWarning("this executor was lost, and joins anew", { incarnation: self }),
      ),
      // When it leaves by itself, what runs may finish; its lease is then still there.
      Effect.ensuring(Effect.sync(() => isDraining || letGo())),
    )
    beats?.heard(undefined)
  })

  const join = untilAnswered(Effect.suspend(() => {
    const sentAt = monotonic()
    return Effect.map(transport.join(joining), (self) => ({ self, sentAt }))
  }))

  // The first join is waited for, so that a refusal is the layer's own error.
  const first = yield* join
  const lives = yield* Effect.gen(function* () {
    for (let next = first;; next = yield* join) yield* live(next.self, next.sentAt)
  }).pipe(
    Effect.tapError((refused) => Deferred.fail(stopped, refused)),
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.logError("the executor has stopped", cause)
    ),
    Effect.forkScoped,
  )

  /**
   * Waits for runs to end and their reports to be sent; then interrupts them and waits a little.
   *
   * It is bounded, and so may be part of a finalizer as it is. An interruptible finalizer would not
   * run at all when the program was interrupted, as by Control-C.
   */
  const finish = (isFinished: () => boolean, giveBack: () => void) =>
    Effect.gen(function* () {
      const finished = Effect.gen(function* () {
        while (!isFinished()) yield* Effect.sleep(5)
      })
      if (Option.isSome(yield* Effect.timeoutOption(finished, drainTimeout))) return
      giveBack()
      yield* Effect.timeoutOption(finished, "2 seconds")
    })

  // Finalizers run in the opposite order of their making, so the loops still live in this one.
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      isDraining = true
      const self = incarnation ?? first.self
      for (const task of [...pool.handlers.keys()]) pool.forsake(task)
      yield* Effect.ignore(Effect.timeout(transport.drain(self), "1 second"))
      yield* finish(
        () =>
          pool.known().length === 0 && !pool.hasNews() &&
          sending.values().every(({ length }) => length === 0),
        () => pool.giveBack(),
      )
      yield* Effect.timeoutOption(Fiber.interrupt(lives), "1 second")
      beats?.heard(undefined)
      yield* Effect.ignore(Effect.timeout(transport.leave(self), "1 second"))
    })
  )

  /** The handler where its policy says that it runs. */
  const placed = (handler: Handler): Handler => {
    const { isolation: kind = "fiber" } = handler.policy
    if (kind === "fiber") return handler
    if (isolation !== undefined) return isolation.isolated(handler, kind)
    throw new Refused({
      field: "policy.isolation",
      reason:
        `"${handler.task}" asks for a ${kind} of its own, and which module to load there is ` +
        "not known",
      remedy: "Provide the executor with Isolated.layer({ entry }) of belfry/isolated",
    })
  }

  const unserved = (handler: Handler): Handler => {
    if (!pool.handlers.has(handler.task)) return handler
    throw new Refused({
      field: "task",
      reason: `this executor has a handler of "${handler.task}" already`,
      remedy: "Keep one of the two, or name the other's task differently",
    })
  }

  return Executor.of({
    stopped: Deferred.await(stopped),
    register: (handler) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          pool.serve(placed(unserved(handler)))
          served.openUnsafe()
          registered.openUnsafe()
          hasOtherTasks.openUnsafe()
          // Claims need not wait until everybody can see who serves the task.
          wake()
        }),
        () =>
          Effect.andThen(
            Effect.sync(() => {
              pool.forsake(handler.task)
              served.openUnsafe()
              hasOtherTasks.openUnsafe()
              // Others need not leave it a place any more.
              wake()
            }),
            finish(() => pool.running(handler.task) === 0, () => pool.giveBack(handler.task)),
          ),
      ),
    status: Effect.sync(() => ({
      incarnation,
      running: pool.running(),
      queued: pool.queued(),
      stuck: pool.stuck(),
      sizes: pool.sizes(),
    })),
    resize: (sizes) => Effect.map(checkedSizes(sizes), pool.resize),
  })
})

const joiningOf = (options: ExecutorOptions) =>
  Effect.flatMap(CurrentNamespace, (namespace) =>
    Effect.mapError(
      Schema.decodeUnknownEffect(Schema.toType(Joining))({
        namespace,
        name: options.name ?? "executor",
        capacity: options.maximum ?? options.concurrency ?? Math.max(10, options.core ?? 0),
        labels: options.labels ?? {},
        resources: options.resources ?? {},
        ttlMillis: Duration.toMillis(Duration.fromInputUnsafe(options.ttl ?? "10 seconds")),
      }, { reportInput: true }),
      (error) => asOption(refusalOf(error, "executor")),
    ))

const sizesOf = ({ concurrency, core, maximum, prefetch, queueLength }: ExecutorOptions) => {
  const most = maximum ?? concurrency ?? Math.max(10, core ?? 0)
  return checkedSizes({
    core: core ?? concurrency ?? most,
    maximum: most,
    ...(queueLength !== undefined && { queueLength }),
    prefetchMillis: Math.round(Duration.toMillis(Duration.fromInputUnsafe(prefetch ?? 100))),
  })
}

const checkedSizes = (sizes: unknown) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(Schema.toType(PoolSizes))(sizes, { reportInput: true }),
    (error) => asOption(refusalOf(error, "executor")),
  )

/** Named as the option that was given. */
const asOption = ({ field, ...rest }: Refused): Refused =>
  new Refused({
    ...rest,
    field: field.replace(".capacity", ".concurrency").replace(".ttlMillis", ".ttl")
      .replace(".prefetchMillis", ".prefetch"),
  })

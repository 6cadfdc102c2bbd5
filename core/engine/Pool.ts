/**
 * Carries granted runs out, so many at once, and turns each end into one report.
 *
 * Grants come in and wait in a queue for a free place; a run that ends at once, as many do, frees
 * its place within the same turn, without a switch of fibers. Everything here is synchronous: the
 * loops of the executor put grants in, take reports out, and are told by `onChange` when to look.
 *
 * The places and the queue are here. What is asked before user code starts (`Beginning`), the attempt
 * itself (`Attempt`) and how it is stopped (`Stopping`), when it must have ended (`TimeLimits`), what it
 * said (`News`) and what its end is reported as (`Reporting`) have files of their own.
 *
 * 1. Every grant taken in ends in exactly one report, unless it was abandoned.
 * 2. User code starts only before `freshUntil`.
 * 3. Queued grants are few: what the pool will start within `prefetchMillis`, or as many as its
 *    queue was given room for. What does not fit is given back at once.
 * 4. What a run said is told before its report.
 * 5. A handler that was interrupted and goes on has `stopMillis` to end. Then it is *stuck*: its run
 *    is reported as if it had ended, and its place is free. So many places as there are may be taken
 *    by the stuck besides, no more.
 * 6. What counts is the attempt, not its run: a run that is granted here again, while its earlier
 *    attempt is being put down, takes a place beside that.
 * 7. Of runs that meet others of their task here, as its policy has it, no two overlap. Each is
 *    decided about as it comes: it starts, waits for the one before it, or ends as discarded; those
 *    that came in one answer in the order in which they were submitted. What comes with a conclusion is
 *    none of them.
 */
import { Clock, Effect, type Exit, Fiber, Latch, Random, type Scope } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { type Conclusion, handedOver } from "../domain/Conclusion.ts"
import type { Fence } from "../domain/Lease.ts"
import type { Labels } from "../domain/Labels.ts"
import type { PoolSizes } from "../domain/PoolSizes.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskName } from "../domain/Task.ts"
import type { Revocation } from "../services/ExecutorStorage.ts"
import type { Told } from "../services/LogStorage.ts"
import type { Ending, Grant, Report } from "../services/RunStorage.ts"
import { Ages } from "./Ages.ts"
import * as Attempt from "./Attempt.ts"
import * as Beginning from "./Beginning.ts"
import { carryOut } from "./carryOut.ts"
import type { Handler, Unsuccessful } from "./Handler.ts"
import { News } from "./News.ts"
import * as Reporting from "./Reporting.ts"
import * as Stopping from "./Stopping.ts"
import { Telling } from "./Telling.ts"
import * as TimeLimits from "./TimeLimits.ts"

export interface Pool {
  readonly handlers: ReadonlyMap<TaskName, Handler>
  readonly serve: (handler: Handler) => void
  /** Queued runs of the task are given back. */
  readonly forsake: (task: TaskName) => void
  /** No user code starts after this instant of the monotonic clock, in milliseconds. */
  readonly keepFresh: (until: number) => void
  readonly isFresh: () => boolean
  /** Until user code may start. */
  readonly untilFresh: Effect.Effect<void>
  /** For so many, the first of them, places were kept. */
  readonly take: (grants: ReadonlyArray<Grant>, places?: number) => void
  /** Starts what may, as places are kept for others no longer. */
  readonly fill: () => void
  /** As `take`, of runs of one task that block each other by this rule. */
  readonly meet: (grants: ReadonlyArray<Grant>, rule: Blocking.Rule) => void
  /** Whether what comes would meet another run of the task. */
  readonly isBusy: (task: TaskName) => boolean
  /** How many more grants there is use for. */
  readonly wanted: () => number
  /** How many places nobody is in, or waits for here. */
  readonly vacant: () => number
  /** So many reports tell a breaker of a call, and were not taken out. */
  readonly calls: () => number
  /** How many more could start right now, if what has ended took its place until its report is out. */
  readonly free: () => number
  readonly sizes: () => PoolSizes
  readonly resize: (sizes: PoolSizes) => void
  readonly hasReports: () => boolean
  readonly takeReports: (max: number) => ReadonlyArray<Report>
  /** Whether some run has said what was not told yet. */
  readonly hasNews: () => boolean
  /** What to tell next; then `told`, when it was. */
  readonly takeNews: () => ReadonlyArray<Told>
  readonly told: () => void
  /** Stops a run that was asked to stop, or puts it down. */
  readonly revoke: (revocation: Revocation) => void
  /** Stops a run that somebody else holds by now, without a report. */
  readonly abandon: (run: RunId, fence: Fence) => void
  readonly abandonAll: () => void
  /** Interrupts runs of `task`, or all, and gives them back. */
  readonly giveBack: (task?: TaskName) => void
  /** Every grant taken in whose report was not taken out. */
  readonly known: () => ReadonlyArray<{ readonly run: RunId; readonly fence: Fence }>
  /** Those that were not taken out. */
  readonly reports: () => ReadonlyArray<Report>
  readonly running: (task?: TaskName) => number
  readonly queued: () => number
  /** Handlers that go on although they were interrupted. */
  readonly stuck: () => number
  /** How each run that has a time-out is ended if nobody gets to it here. */
  readonly endings: () => ReadonlyArray<Ending>
  /** How each is ended if nothing is heard from here; of those alone, if given, that began so long ago. */
  readonly endingsLeft: (sinceMillis?: number) => ReadonlyArray<Ending>
}

/** Who has a place next, where runs do not come from one claim alone. */
export interface Order {
  /** So many places are for what is yet to come. */
  readonly kept: () => number
  /** The index of what starts next of those that wait here; nothing if a place is kept for what is to come. */
  readonly next: (queue: ReadonlyArray<Grant>) => number | undefined
}

export interface Options extends Beginning.Asking {
  readonly order?: Order | undefined
  readonly sizes: PoolSizes
  readonly labels: Labels
  /** How long an interrupted handler may go on. */
  readonly stopMillis: number
  readonly conclude: (grant: Grant, conclusion: Conclusion) => Effect.Effect<boolean>
  /** What the grant's task keeps for a key. */
  readonly recall: (grant: Grant, key: string) => Effect.Effect<string | undefined>
  readonly onChange: () => void
  /** A run with a time-out begins. */
  readonly onTimed?: ((ending: Ending) => void) | undefined
  /** Other endings than before are to be left, or soon. */
  readonly onEndings: () => void
  /** A handler cannot carry out a run of its task that others can. */
  readonly onGivenBack: (task: TaskName) => void
  /** Some run has something to say; urgently if its report waits for that. */
  readonly onNews: (isUrgent: boolean) => void
}

export const make: (options: Options) => Effect.Effect<Pool, never, Scope.Scope> = Effect
  .fnUntraced(function* (
    {
      conclude,
      labels,
      mark,
      onChange,
      onEndings,
      onGivenBack,
      onNews,
      onTimed,
      order,
      pass,
      recall,
      stopMillis,
      ...options
    },
  ) {
    const clock = yield* Clock.Clock
    const random = yield* Random.Random

    const handlers = new Map<TaskName, Handler>()
    const carried = new Set<Attempt.Attempt>()
    const stuck = new Set<Attempt.Attempt>()
    /** Of these, such as are handed over, until that is marked: a report before could leave them uncleaned. */
    const marking = new Set<Attempt.Attempt>()
    let sizes = options.sizes
    let queue: Array<Grant> = []
    /** Of these, such as places were kept for. */
    const placed = new WeakSet<Grant>()
    /** Of tasks whose runs meet here: the one that goes when the one before it has ended. */
    const next = new Map<TaskName, Grant>()
    let freshUntil = 0
    const isFreshAgain = Latch.makeUnsafe()
    /** How long a run takes on average. As long as that is not known, nothing is prefetched. */
    let averageMillis = 100

    const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

    const isFresh = () => monotonic() < freshUntil
    const untilFresh: Effect.Effect<void> = Effect.suspend(() => {
      if (isFresh()) return Effect.void
      isFreshAgain.closeUnsafe()
      return Effect.andThen(isFreshAgain.await, untilFresh)
    })

    const ages = new Ages(monotonic)
    const news = new News(onNews)
    const reporting = Reporting.make({ ages, monotonic, news, onChange, onGivenBack, random })

    /** How many runs may be carried out at once, as full as the queue is. */
    const places = () => {
      if (sizes.core === sizes.maximum && stuck.size === 0) return sizes.core
      const wished = queue.length >= queueRoom() ? sizes.maximum : sizes.core
      return wished - Math.max(0, stuck.size - sizes.maximum)
    }

    const queueRoom = () => {
      if (sizes.queueLength !== undefined) return sizes.queueLength
      const startable = Math.floor(
        sizes.core * sizes.prefetchMillis / Math.max(averageMillis, 0.01),
      )
      return Math.min(queueMax, Math.max(0, startable - sizes.core))
    }

    let isPumping = false
    const pump = () => {
      if (isPumping) return
      // A run that ends at once calls back in here; the loop, not the stack, goes on to the next.
      isPumping = true
      for (;;) {
        // What waited for the one that has just ended may be next.
        if (next.size > 0) bringUp()
        if (queue.length === 0 || carried.size + (order?.kept() ?? 0) >= places()) break
        const now = monotonic()
        if (now >= freshUntil) break
        const at = order === undefined || placed.has(queue[0]!) ? 0 : order.next(queue)
        if (at === undefined) continue
        // Taken out first: the handler may run right here, and whatever it wakes must not find it twice.
        begin(at === 0 ? queue.shift()! : queue.splice(at, 1)[0]!, now)
      }
      isPumping = false
    }

    const isOf = (task: TaskName) => (grant: Grant) => grant.task === task

    const isBusy = (task: TaskName): boolean =>
      carried.values().some(({ grant }) => grant.task === task) || queue.some(isOf(task))

    const meet = (grant: Grant, rule: Blocking.Rule) => {
      const { run, task } = grant
      if (!handlers.has(task)) return reporting.release(grant, "Stopping")
      // What it took is to be given back, whoever is busy here.
      if (grant.conclusion !== undefined) return void queue.push(grant)
      const before = next.get(task)
      if (before !== undefined) reporting.discard(before, Blocking.replacedBy(run))
      next.delete(task)
      const attempts = carried.values().filter(({ grant }) => grant.task === task).toArray()
      const holders = [...attempts.map(({ grant }) => grant), ...queue.filter(isOf(task))]
      const decision = Blocking.decide(rule, holders.length)
      if (decision === "admit") return void queue.push(grant)
      if (decision === "discard") {
        return reporting.discard(grant, Blocking.busyWith(holders[0]!.run))
      }
      next.set(task, grant)
      if (decision === "wait") return
      for (const attempt of attempts) replace(attempt, run)
      for (const { fence, run: earlier } of holders) {
        if (!unqueue(earlier, fence)) continue
        const failure = Blocking.replacedBy(run)
        reporting.report({ _tag: "Abort", run: earlier, fence, failure })
      }
    }

    /** One that ends anyway is waited for. */
    const replace = (attempt: Attempt.Attempt, by: RunId) => {
      if (attempt.stopping._tag === "Going") stop(attempt, { _tag: "Cancel", by })
    }

    /** Ahead of others: it has waited for the place that is free now. */
    const bringUp = () => {
      for (const [task, grant] of next) {
        if (isBusy(task)) continue
        next.delete(task)
        queue.unshift(grant)
      }
    }

    const begin = (grant: Grant, now: number) => {
      const handler = handlers.get(grant.task)
      if (handler === undefined) return reporting.release(grant, "Stopping")
      const attempt = Attempt.of(grant, handler, now)
      carried.add(attempt)
      const work = Effect.suspend(() => {
        attempt.hasBegun = true
        return carryOut(attempt, around)
      })
      attempt.fiber = Effect.runForkWith(handler.context)(begun(attempt, work))
      attempt.fiber.addObserver((exit) => end(attempt, exit))
    }

    const end = (
      attempt: Attempt.Attempt,
      exit: Exit.Exit<string | undefined, Unsuccessful>,
    ) => {
      if (attempt.isStuck) {
        stuck.delete(attempt)
        return onChange()
      }
      carried.delete(attempt)
      if (attempt.stopBy < Infinity) onEndings()
      averageMillis += (monotonic() - attempt.startedAt - averageMillis) * 0.1
      reporting.ended(attempt, exit)
      pump()
    }

    const stop = (attempt: Attempt.Attempt, order: Stopping.Stop) => {
      if (!Stopping.hears(attempt.stopping, order)) return
      Attempt.advance(attempt, { _tag: "Ordered", stop: order })
      const { stopping } = attempt
      // What becomes of its hooks goes by the answer, and so does its report.
      if (stopping._tag === "Marking" && !stopping.isLost) return
      if (stopping._tag === "Left") {
        // Nothing that could get stuck goes on: it is given back once it is known what was kept of its end.
        if (attempt.concluding === "asked" && order._tag === "GiveBack") return
        attempt.hook?.interruptUnsafe()
      }
      limits.stopSoon(attempt)
      if (stopping._tag === "Stopped") attempt.fiber?.interruptUnsafe()
    }

    const giveUpOn = (attempt: Attempt.Attempt) => {
      const { run, task } = attempt.grant
      attempt.isStuck = true
      carried.delete(attempt)
      stuck.add(attempt)
      attempt.fiber?.interruptUnsafe()
      const isToBeMarked = attempt.outcome === undefined && Attempt.isToBeMarked(attempt)
      if (isToBeMarked) marking.add(attempt)
      else reporting.stuck(attempt)
      pump()
      return Effect.andThen(
        Effect.logWarning("a handler goes on although it was interrupted: it is stuck", {
          task,
          run,
        }),
        isToBeMarked ? markStuck(attempt) : Effect.void,
      )
    }

    const markStuck = (attempt: Attempt.Attempt) =>
      Effect.map(Effect.forkDetach(conclude(attempt.grant, handedOver)), (fiber) => {
        attempt.mark = Fiber.join(fiber)
        fiber.addObserver(() => {
          marking.delete(attempt)
          reporting.stuck(attempt)
        })
      })

    const limits = TimeLimits.make({
      carried,
      giveUpOn,
      monotonic,
      onEndings,
      onTimed,
      stopMillis,
      unsuccess: reporting.unsuccess,
    })
    const begun = Beginning.make({ ages, isFresh, limits, mark, monotonic, pass })

    const around: Attempt.Surroundings = {
      labels,
      isFresh,
      now: monotonic,
      wallClock: () => clock.currentTimeMillisUnsafe(),
      limit: limits.limit,
      telling: (attempt) => attempt.telling ??= new Telling(attempt.grant.run, attempt.grant.fence),
      said: ({ isStuck, telling }) => {
        // Whoever is stuck has had its last word.
        if (isStuck || telling === undefined || telling.isOver) return
        news.add(telling, false)
      },
      conclude,
      recall: (attempt, key) =>
        Effect.flatMap(recall(attempt.grant, key), (kept) => {
          // This process may have stood still meanwhile, and what an actor does begins with that.
          if (isFresh()) return Effect.succeed(kept)
          stop(attempt, Stopping.giveBack("LeaseUnsure"))
          return Effect.never
        }),
      isRetried: reporting.isRetried,
    }

    /** Whether the grant was waiting here. */
    const unqueue = (run: RunId, fence: Fence): boolean => {
      for (const [task, grant] of next) {
        if (grant.run === run && grant.fence === fence) return next.delete(task)
      }
      const at = queue.findIndex((grant) => grant.run === run && grant.fence === fence)
      if (at >= 0) queue = queue.toSpliced(at, 1)
      return at >= 0
    }

    const attemptOf = (run: RunId, fence: Fence): Attempt.Attempt | undefined =>
      carried.values().find(({ grant }) => grant.run === run && grant.fence === fence)

    /** Gives back what there is no room for. */
    const trim = () => {
      const room = Math.max(queueRoom(), sizes.maximum - carried.size)
      // While the lease is not fresh, and when runs were quicker before, a few wait longer.
      const surplus = queue.splice(sizes.queueLength === undefined ? queueMax * 2 : room)
      for (const grant of surplus) reporting.release(grant, "PoolFull")
    }

    yield* Effect.forkScoped(limits.lookOut)

    const pool: Pool = {
      handlers,
      serve: (handler) => {
        handlers.set(handler.task, handler)
      },
      forsake: (task) => {
        handlers.delete(task)
        const left = [...queue, ...next.values()].filter(isOf(task))
        queue = queue.filter((grant) => grant.task !== task)
        next.delete(task)
        for (const grant of left) reporting.release(grant, "Stopping")
      },
      keepFresh: (until) => {
        freshUntil = until
        isFreshAgain.openUnsafe()
        pump()
      },
      isFresh,
      untilFresh,
      take: (grants, places = 0) => {
        for (const grant of grants) ages.note(grant)
        const first = places === 0 ? [] : grants.slice(0, places)
        for (const grant of first) placed.add(grant)
        queue.unshift(...first)
        queue.push(...(places === 0 ? grants : grants.slice(places)))
        pump()
        if (queue.length > 0) trim()
      },
      meet: (grants, rule) => {
        for (const grant of grants) ages.note(grant)
        for (const grant of grants.toSorted((a, b) => a.run - b.run)) meet(grant, rule)
        pump()
        if (queue.length > 0) trim()
      },
      isBusy,
      wanted: () => {
        const free = (sizes.queueLength === undefined ? sizes.core : sizes.maximum) -
          Math.max(0, stuck.size - sizes.maximum)
        return free + queueRoom() - carried.size - queue.length
      },
      fill: pump,
      vacant: () => places() - carried.size - queue.length,
      calls: reporting.calls,
      free: () =>
        Math.max(
          0,
          sizes.core - Math.max(0, stuck.size - sizes.maximum) - carried.size - queue.length -
            reporting.count(),
        ),
      sizes: () => sizes,
      resize: (wanted) => {
        sizes = wanted
        pump()
        trim()
        onChange()
      },
      hasReports: reporting.has,
      takeReports: reporting.take,
      hasNews: () => news.has(),
      takeNews: () => news.take(monotonic()),
      told: () => reporting.told(news.told()),
      revoke: ({ fence, isSuspending, run }) => {
        const attempt = attemptOf(run, fence)
        if (attempt !== undefined) {
          stop(attempt, isSuspending === true ? Stopping.suspend : Stopping.cancel)
        }
        if (unqueue(run, fence)) {
          reporting.report(
            isSuspending === true
              ? { _tag: "Release", run, fence, why: "Suspending" }
              : { _tag: "Abort", run, fence },
          )
          pump()
        }
      },
      abandon: (run, fence) => {
        const attempt = attemptOf(run, fence)
        if (attempt !== undefined) stop(attempt, Stopping.abandon)
        if (unqueue(run, fence)) pump()
      },
      abandonAll: () => {
        queue = []
        next.clear()
        for (const attempt of carried) stop(attempt, Stopping.abandon)
      },
      giveBack: (task) => {
        for (const attempt of carried) {
          if (task === undefined || attempt.grant.task === task) {
            stop(attempt, Stopping.giveBack("Stopping"))
          }
        }
      },
      known: () => [
        ...carried.values().map(({ grant }) => grant),
        ...marking.values().map(({ grant }) => grant),
        ...queue,
        ...next.values(),
        ...reporting.all(),
      ],
      reports: reporting.all,
      running: (task) =>
        task === undefined
          ? carried.size
          : carried.values().filter(({ grant }) => grant.task === task).toArray().length,
      queued: () => queue.length + next.size,
      stuck: () => stuck.size,
      endings: limits.endings,
      endingsLeft: (sinceMillis = 0) => limits.endingsLeft(sinceMillis),
    }
    return pool
  })

const queueMax = 1000

/**
 * Carries granted runs out, so many at once, and turns each end into one report.
 *
 * Grants come in and wait in a queue for a free place; a run that ends at once, as many do, frees
 * its place within the same turn, without a switch of fibers. Everything here is synchronous: the
 * loops of the executor put grants in, take reports out, and are told by `onChange` when to look.
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
import { Clock, Effect, Exit, Latch, Random, type Scope } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import * as Breaker from "../domain/Breaker.ts"
import type { Conclusion } from "../domain/Conclusion.ts"
import type * as GivenBack from "../domain/GivenBack.ts"
import type { Labels } from "../domain/Labels.ts"
import { isRegulated } from "../domain/Permit.ts"
import type { Policy } from "../domain/Policy.ts"
import type { PoolSizes } from "../domain/PoolSizes.ts"
import * as Retry from "../domain/Retry.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskName } from "../domain/Task.ts"
import type { Fence } from "../domain/Lease.ts"
import type { Failure } from "../domain/RunView.ts"
import type { Revocation } from "../services/ExecutorStorage.ts"
import type { Told } from "../services/LogStorage.ts"
import type { Ending, Grant, Report } from "../services/RunStorage.ts"
import type { Passage } from "../services/Transport.ts"
import {
  type Attempt,
  begunTooLate,
  carryOut,
  giveBack,
  isSpent,
  leave,
  type Stop,
  stoppedHalfway,
  type Surroundings,
  tookTooLong,
  unsuccessfulOf,
} from "./Attempt.ts"
import type { Handler, Unsuccessful } from "./Handler.ts"
import { Telling } from "./Telling.ts"

export interface Pool {
  readonly handlers: ReadonlyMap<TaskName, Handler>
  readonly serve: (handler: Handler) => void
  /** Queued runs of the task are given back. */
  readonly forsake: (task: TaskName) => void
  /** No user code starts after this instant of the monotonic clock, in milliseconds. */
  readonly keepFresh: (until: number) => void
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
  readonly running: (task?: TaskName) => number
  readonly queued: () => number
  /** Handlers that go on although they were interrupted. */
  readonly stuck: () => number
  /** How each run that has a time-out is ended if nobody gets to it here. */
  readonly endings: () => ReadonlyArray<Ending>
  /** How each is ended if nothing is heard from here; of those alone, if given, that began so long ago. */
  readonly endingsLeft: (sinceMillis?: number) => ReadonlyArray<Ending>
}

/** So much is told in one trip. */
const newsMax = 200
/** So long what this process says itself may be under way, until it counts as silent. */
const silentMillis = 250

/** Who has a place next, where runs do not come from one claim alone. */
export interface Order {
  /** So many places are for what is yet to come. */
  readonly kept: () => number
  /** The index of what starts next of those that wait here; nothing if a place is kept for what is to come. */
  readonly next: (queue: ReadonlyArray<Grant>) => number | undefined
}

export interface Options {
  readonly order?: Order | undefined
  readonly sizes: PoolSizes
  readonly labels: Labels
  /** How long an interrupted handler may go on. */
  readonly stopMillis: number
  /** Whether user code may start; of one with a time-out, how it is ended if nothing is heard. */
  readonly mark: (grant: Grant, ending: Ending | undefined) => Effect.Effect<boolean>
  /** How the breaker of the grant's key answers; nothing if no answer came in time. */
  readonly pass: (
    grant: Grant,
    policy: Policy,
    breaker: Breaker.ByKey,
  ) => Effect.Effect<Passage | undefined>
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
    const carried = new Set<Attempt>()
    const stuck = new Set<Attempt>()
    let sizes = options.sizes
    let queue: Array<Grant> = []
    /** Of these, such as places were kept for. */
    const placed = new WeakSet<Grant>()
    /** Of tasks whose runs meet here: the one that goes when the one before it has ended. */
    const next = new Map<TaskName, Grant>()
    let reports: Array<Report> = []
    /** Reports that wait until what their run said was told. */
    const held = new Map<Telling, Report>()
    const news = new Set<Telling>()
    let underWay: Array<Telling> = []
    let freshUntil = 0
    /** How long a run takes on average. As long as that is not known, nothing is prefetched. */
    let averageMillis = 100

    const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

    const isFresh = () => monotonic() < freshUntil

    const report = (made: Report) => {
      reports.push(made)
      onChange()
    }

    /** As `report`, after what the run has said. */
    const reportOn = ({ telling }: Attempt, made: Report) => {
      if (telling === undefined) return report(made)
      telling.finish()
      if (telling.isOver) return report(made)
      held.set(telling, made)
      news.add(telling)
      onNews(true)
    }

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

    const discard = ({ fence, run }: Grant, failure: Failure) =>
      report({ _tag: "Discard", run, fence, failure })

    const meet = (grant: Grant, rule: Blocking.Rule) => {
      const { run, task } = grant
      if (!handlers.has(task)) return release(grant, "Stopping")
      // What it took is to be given back, whoever is busy here.
      if (grant.conclusion !== undefined) return void queue.push(grant)
      const before = next.get(task)
      if (before !== undefined) discard(before, Blocking.replacedBy(run))
      next.delete(task)
      const attempts = carried.values().filter(({ grant }) => grant.task === task).toArray()
      const holders = [...attempts.map(({ grant }) => grant), ...queue.filter(isOf(task))]
      const decision = Blocking.decide(rule, holders.length)
      if (decision === "admit") return void queue.push(grant)
      if (decision === "discard") return discard(grant, Blocking.busyWith(holders[0]!.run))
      next.set(task, grant)
      if (decision === "wait") return
      for (const attempt of attempts) replace(attempt, run)
      for (const { fence, run: earlier } of holders) {
        if (!unqueue(earlier, fence)) continue
        report({ _tag: "Abort", run: earlier, fence, failure: Blocking.replacedBy(run) })
      }
    }

    /** One that ends anyway is waited for. */
    const replace = (attempt: Attempt, by: RunId) => {
      if (attempt.stop !== undefined || attempt.outcome !== undefined) return
      attempt.replacedBy = by
      stop(attempt, "cancel")
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
      if (handler === undefined) return release(grant, "Stopping")
      const attempt: Attempt = {
        grant,
        handler,
        startedAt: now,
        fiber: undefined,
        stop: undefined,
        givenBack: undefined,
        replacedBy: undefined,
        stopBy: Infinity,
        overdueAt: Infinity,
        overdueSince: now,
        hasBegun: false,
        isStuck: false,
        checkpoint: undefined,
        kept: undefined,
        awaitsMillis: undefined,
        retriedIn: undefined,
        passage: undefined,
        telling: undefined,
        outcome: undefined,
        hook: undefined,
        isBeingMarked: false,
        isLeft: false,
      }
      carried.add(attempt)
      attempt.fiber = Effect.runForkWith(handler.context)(begun(attempt))
      attempt.fiber.addObserver((exit) => end(attempt, exit))
    }

    const begun = (attempt: Attempt): Effect.Effect<string | undefined, Unsuccessful> => {
      const work = Effect.suspend(() => {
        attempt.hasBegun = true
        return carryOut(attempt, around)
      })
      const { grant, handler: { isForOthers, policy } } = attempt
      const { withinMillis } = policy.retry
      if (withinMillis !== undefined && grant.attempt - grant.crashes > 1) {
        // What goes on with what was concluded is no attempt.
        const isLate = grant.conclusion === undefined && Retry.isTooLate(policy.retry, ageOf(grant))
        if (isLate) return Effect.fail(begunTooLate(withinMillis))
      }
      if (!grant.isCareful && !isRegulated(policy)) return work
      // The mark of a start is kept, and ends a deadline: what is given back unread is to have none.
      if (grant.conclusion === undefined && isForOthers?.(grant.payload) === true) return work
      const marked = Effect.suspend(() => {
        const { timeoutMillis = Infinity } = policy
        const isTimed = timeoutMillis < Infinity && grant.conclusion === undefined
        const markedAt = monotonic()
        if (isTimed) attempt.overdueAt = markedAt + timeoutMillis + stopMillis + silentMillis
        return Effect.flatMap(mark(grant, endingLeft(attempt)), (mayStart) => {
          // A start that was not accepted is not ours to report on.
          if (!mayStart) return leave(attempt, "abandon")
          // What was left with the mark is said soon, and nobody can take it back in time.
          const isLate = isTimed && monotonic() - markedAt > timeoutMillis + silentMillis
          // The answer may have come while this process stood still, and the lease ran out meanwhile.
          return isFresh() && !isLate ? work : giveBack(attempt, "LeaseUnsure")
        })
      })
      // What its holder has concluded calls nobody any more.
      if (!Breaker.isByKey(policy.breaker) || grant.conclusion !== undefined) return marked
      return Effect.flatMap(pass(grant, policy, policy.breaker), (passage) => {
        if (passage === undefined) return giveBack(attempt, "BreakerSilent")
        attempt.passage = passage
        return passage._tag === "Open" ? marked : leave(attempt, "postpone")
      })
    }

    const end = (attempt: Attempt, exit: Exit.Exit<string | undefined, Unsuccessful>) => {
      if (attempt.isStuck) {
        stuck.delete(attempt)
        return onChange()
      }
      carried.delete(attempt)
      if (attempt.stopBy < Infinity) onEndings()
      averageMillis += (monotonic() - attempt.startedAt - averageMillis) * 0.1
      conclusive(attempt, exit)
      pump()
    }

    const conclusive = (
      attempt: Attempt,
      exit: Exit.Exit<string | undefined, Unsuccessful>,
    ) => {
      const { grant: { fence, run }, stop } = attempt
      if (stop === "abandon") {
        const { telling } = attempt
        telling?.finish()
        // It is evidence now.
        if (telling?.isOver === false) {
          news.add(telling)
          onNews(true)
        }
        onChange()
      } else if (Exit.isSuccess(exit)) {
        const result = exit.value
        reportOn(attempt, {
          _tag: "Succeed",
          run,
          fence,
          ...(result !== undefined && { result }),
          ...(attempt.kept !== undefined && { kept: attempt.kept }),
          ...calledIn(attempt, false),
        })
      } else if (stop === "cancel") reportOn(attempt, abort(attempt))
      // What has not begun is put down by that as well, and its deadline still counts.
      else if (stop === "suspend") {
        reportOn(attempt, attempt.hasBegun ? putDown(attempt) : givenBack(attempt, "Suspending"))
      } else if (stop === "handOver") reportOn(attempt, handOver(attempt))
      else if (isSpent(attempt)) reportOn(attempt, unsuccess(attempt, stoppedHalfway))
      else if (stop === "giveBack") {
        reportOn(attempt, givenBack(attempt, attempt.givenBack ?? "Stopping"))
      } else if (stop === "postpone") reportOn(attempt, postponed(attempt))
      else reportOn(attempt, unsuccess(attempt, unsuccessfulOf(exit)))
    }

    const abort = ({ grant: { fence, run }, replacedBy }: Attempt): Report => ({
      _tag: "Abort",
      run,
      fence,
      ...(replacedBy !== undefined && { failure: Blocking.replacedBy(replacedBy) }),
    })

    const release = ({ fence, run }: Grant, why: GivenBack.Why) =>
      report({ _tag: "Release", run, fence, why })

    const putDown = ({ checkpoint, grant: { fence, run } }: Attempt): Report => ({
      _tag: "Yield",
      run,
      fence,
      ...(checkpoint !== undefined && { checkpoint }),
    })

    const givenBack = (attempt: Attempt, why: GivenBack.Why): Report => ({
      ...putDown(attempt),
      _tag: "Release",
      why,
    })

    const postponed = ({ grant: { fence, run }, passage }: Attempt): Report => ({
      _tag: "Postpone",
      run,
      fence,
      delayMillis: passage?._tag === "Closed" ? passage.retryInMillis : 0,
    })

    const handOver = ({ awaitsMillis, grant: { fence, run } }: Attempt): Report => ({
      _tag: "Await",
      run,
      fence,
      ...(awaitsMillis !== undefined && { timeoutMillis: Math.ceil(awaitsMillis) }),
    })

    /** What the breaker of its task is told; a declared error is an answer like any other. */
    const calledIn = ({ grant, handler, passage, startedAt }: Attempt, isBad: boolean) => {
      const { breaker } = handler.policy
      const { key, epoch } = passage?._tag === "Open" ? passage : { key: undefined, ...grant }
      if (breaker === undefined || epoch === undefined) return {}
      return {
        call: {
          namespace: grant.namespace,
          breaker: Breaker.nameOf(breaker),
          ...(key !== undefined && { key }),
          epoch,
          isBad,
          millis: Math.round(monotonic() - startedAt),
        },
      }
    }

    const unsuccess = (attempt: Attempt, unsuccessful: Unsuccessful): Report => {
      const { fence, run } = attempt.grant
      const { failure, isAnswer, isGivenBack, isTimeOut } = unsuccessful
      if (isGivenBack === true) {
        onGivenBack(attempt.grant.task)
        return givenBack(attempt, "PayloadNewer")
      }
      const delayMillis = delayOf(attempt, unsuccessful)
      const called = calledIn(attempt, !isAnswer)
      return delayMillis === undefined
        ? { _tag: isTimeOut ? "TimeOut" : "GiveUp", run, fence, failure, ...called }
        : { _tag: "Retry", run, fence, delayMillis, failure, ...called }
    }

    /** Until it is tried again, if it is. Decided once, as hooks go by it before the report does. */
    const delayOf = (attempt: Attempt, { failure, isAnswer }: Unsuccessful) => {
      const { grant, handler: { policy: { retry } } } = attempt
      if (isAnswer || !Retry.covers(retry, failure.tag)) return undefined
      attempt.retriedIn ??= {
        millis: Retry.delayAfter(
          retry,
          grant.attempt - grant.crashes,
          random.nextDoubleUnsafe(),
          ageOf(grant),
        ),
      }
      return attempt.retriedIn.millis
    }

    /** Since when the runs of grants have been due that say so, by the monotonic clock. */
    const dueSince = new WeakMap<Grant, number>()

    const noteAge = (grant: Grant) => {
      const { dueMillisAgo } = grant
      if (dueMillisAgo !== undefined) dueSince.set(grant, monotonic() - dueMillisAgo)
    }

    const ageOf = (grant: Grant) => monotonic() - (dueSince.get(grant) ?? monotonic())

    const stop = (attempt: Attempt, why: Stop) => {
      if (attempt.isBeingMarked) {
        // What becomes of its hooks goes by the answer, and so does its report.
        if (why === "giveBack") attempt.isLeft = true
        if (why !== "abandon") return
        attempt.stop = why
        return stopSoon(attempt)
      }
      if (attempt.outcome !== undefined) {
        if (why !== "abandon" && why !== "giveBack") return
        attempt.stop = why
        attempt.isLeft = true
        attempt.hook?.interruptUnsafe()
        return stopSoon(attempt)
      }
      // What is being put down may still be stopped; to give it back would forget that it was asked.
      const isOutdone = attempt.stop === "suspend" && why !== "giveBack"
      if (attempt.stop === undefined || isOutdone) attempt.stop = why
      stopSoon(attempt)
      attempt.fiber?.interruptUnsafe()
    }

    /** When somebody looks next for handlers that go on. */
    let looksAt = Infinity
    const isLimited = Latch.makeUnsafe()

    const limit = (attempt: Attempt, millis: number | undefined) => {
      stopBy(attempt, millis === undefined ? Infinity : monotonic() + millis + stopMillis)
      attempt.overdueAt = attempt.stopBy + silentMillis
      attempt.overdueSince = monotonic()
      onEndings()
      if (millis !== undefined && attempt.outcome === undefined) {
        onTimed?.(endingOf(attempt, "stuck", attempt.stopBy - monotonic()))
      }
    }

    /** Nothing of it is decided by that: it may still end in another way. */
    const endingOf = (attempt: Attempt, how: "stuck" | "silent", inMillis: number): Ending => {
      const { timeoutMillis = 0 } = attempt.handler.policy
      return { inMillis, report: unsuccess({ ...attempt }, tookTooLong(timeoutMillis, how)) }
    }

    /** What is left to be said of it by others: not while it is put down, or after its outcome. */
    const endingLeft = (attempt: Attempt): Ending | undefined => {
      const { handler: { policy }, outcome, overdueAt, stop } = attempt
      const isIt = policy.timeoutMillis !== undefined && overdueAt < Infinity &&
        outcome === undefined && (stop === undefined || stop === "cancel")
      const inMillis = Math.ceil(Math.max(0, overdueAt - monotonic()))
      return isIt ? endingOf(attempt, "silent", inMillis) : undefined
    }

    /** The same order comes again until it is answered: that gives no more time. */
    const stopSoon = (attempt: Attempt) =>
      stopBy(attempt, Math.min(attempt.stopBy, monotonic() + stopMillis))

    const stopBy = (attempt: Attempt, at: number) => {
      attempt.stopBy = at
      if (at < looksAt) isLimited.openUnsafe()
    }

    const lookOut = Effect.gen(function* () {
      isLimited.closeUnsafe()
      const now = monotonic()
      looksAt = Infinity
      for (const attempt of [...carried]) {
        if (attempt.stopBy <= now) yield* giveUpOn(attempt)
        else looksAt = Math.min(looksAt, attempt.stopBy)
      }
      yield* looksAt === Infinity
        ? isLimited.await
        : Effect.raceFirst(Effect.sleep(Math.max(1, looksAt - now)), isLimited.await)
    })

    const giveUpOn = (attempt: Attempt) => {
      const { grant: { run, task }, handler: { policy }, outcome } = attempt
      attempt.isStuck = true
      carried.delete(attempt)
      stuck.add(attempt)
      attempt.fiber?.interruptUnsafe()
      if (attempt.stop === "abandon") onChange()
      else if (outcome !== undefined) conclusive(attempt, outcome)
      else if (attempt.stop === undefined) {
        reportOn(attempt, unsuccess(attempt, tookTooLong(policy.timeoutMillis ?? 0, "stuck")))
      } else conclusive(attempt, Exit.interrupt())
      pump()
      return Effect.logWarning("a handler goes on although it was interrupted: it is stuck", {
        task,
        run,
      })
    }

    const around: Surroundings = {
      labels,
      isFresh,
      now: monotonic,
      wallClock: () => clock.currentTimeMillisUnsafe(),
      limit,
      telling: (attempt) => attempt.telling ??= new Telling(attempt.grant.run, attempt.grant.fence),
      said: ({ isStuck, telling }) => {
        // Whoever is stuck has had its last word.
        if (isStuck || telling === undefined || telling.isOver) return
        news.add(telling)
        onNews(false)
      },
      conclude,
      recall: (attempt, key) =>
        Effect.flatMap(recall(attempt.grant, key), (kept) => {
          // This process may have stood still meanwhile, and what an actor does begins with that.
          if (isFresh()) return Effect.succeed(kept)
          attempt.givenBack ??= "LeaseUnsure"
          stop(attempt, "giveBack")
          return Effect.never
        }),
      isRetried: (attempt, unsuccessful) => delayOf(attempt, unsuccessful) !== undefined,
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

    const attemptOf = (run: RunId, fence: Fence): Attempt | undefined =>
      carried.values().find(({ grant }) => grant.run === run && grant.fence === fence)

    /** Gives back what there is no room for. */
    const trim = () => {
      const room = Math.max(queueRoom(), sizes.maximum - carried.size)
      // While the lease is not fresh, and when runs were quicker before, a few wait longer.
      const surplus = queue.splice(sizes.queueLength === undefined ? queueMax * 2 : room)
      for (const grant of surplus) release(grant, "PoolFull")
    }

    yield* Effect.forkScoped(Effect.forever(lookOut))

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
        for (const grant of left) release(grant, "Stopping")
      },
      keepFresh: (until) => {
        freshUntil = until
        pump()
      },
      take: (grants, places = 0) => {
        grants.forEach(noteAge)
        const first = places === 0 ? [] : grants.slice(0, places)
        for (const grant of first) placed.add(grant)
        queue.unshift(...first)
        queue.push(...(places === 0 ? grants : grants.slice(places)))
        pump()
        if (queue.length > 0) trim()
      },
      meet: (grants, rule) => {
        grants.forEach(noteAge)
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
      calls: () => callsIn(held.values()) + callsIn(reports),
      free: () =>
        Math.max(
          0,
          sizes.core - Math.max(0, stuck.size - sizes.maximum) - carried.size - queue.length -
            held.size - reports.length,
        ),
      sizes: () => sizes,
      resize: (wanted) => {
        sizes = wanted
        pump()
        trim()
        onChange()
      },
      hasReports: () => reports.length > 0,
      takeReports: (max) => {
        const taken = reports.slice(0, max)
        reports = reports.length > max ? reports.slice(max) : []
        return taken
      },
      hasNews: () => news.size > 0 || underWay.length > 0,
      takeNews: () => {
        const now = monotonic()
        const taken: Array<Told> = []
        for (const telling of news) {
          if (taken.length === newsMax) break
          const told = telling.take(now)
          news.delete(telling)
          if (told === undefined) continue
          taken.push(told)
          underWay.push(telling)
        }
        return taken
      },
      told: () => {
        const tellings = underWay
        underWay = []
        for (const telling of tellings) {
          telling.told()
          if (!telling.isOver) news.add(telling)
          else {
            const waiting = held.get(telling)
            held.delete(telling)
            if (waiting !== undefined) report(waiting)
          }
        }
      },
      revoke: ({ fence, isSuspending, run }) => {
        const attempt = attemptOf(run, fence)
        if (attempt !== undefined) stop(attempt, isSuspending === true ? "suspend" : "cancel")
        if (unqueue(run, fence)) {
          report(
            isSuspending === true
              ? { _tag: "Release", run, fence, why: "Suspending" }
              : { _tag: "Abort", run, fence },
          )
          pump()
        }
      },
      abandon: (run, fence) => {
        const attempt = attemptOf(run, fence)
        if (attempt !== undefined) stop(attempt, "abandon")
        if (unqueue(run, fence)) pump()
      },
      abandonAll: () => {
        queue = []
        next.clear()
        for (const attempt of carried) stop(attempt, "abandon")
      },
      giveBack: (task) => {
        for (const attempt of carried) {
          if (task === undefined || attempt.grant.task === task) stop(attempt, "giveBack")
        }
      },
      known: () => [
        ...carried.values().map(({ grant }) => grant),
        ...queue,
        ...next.values(),
        ...held.values(),
        ...reports,
      ],
      running: (task) =>
        task === undefined
          ? carried.size
          : carried.values().filter(({ grant }) => grant.task === task).toArray().length,
      queued: () => queue.length + next.size,
      stuck: () => stuck.size,
      endings: () =>
        [...carried].filter(({ outcome, stopBy }) => outcome === undefined && stopBy < Infinity)
          .map((attempt) => endingOf(attempt, "stuck", attempt.stopBy - monotonic())),
      endingsLeft: (sinceMillis = 0) => {
        const since = monotonic() - sinceMillis
        return [...carried].filter(({ overdueSince }) => overdueSince <= since)
          .flatMap((attempt) => endingLeft(attempt) ?? [])
      },
    }
    return pool
  })

const queueMax = 1000

/** How many of these reports tell a breaker of a call. */
export const callsIn = (reports: Iterable<Report>): number => {
  let count = 0
  for (const report of reports) if ("call" in report && report.call !== undefined) count++
  return count
}

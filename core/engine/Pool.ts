/**
 * Carries granted runs out, so many at once, and turns each end into one report.
 *
 * Grants come in and wait in a queue for a free place; a run that ends at once, as many do, frees
 * its place within the same turn, without a switch of fibers. Everything here is synchronous: the
 * loops of the executor put grants in, take reports out, and are told by `onChange` when to look.
 *
 * 1. Every grant taken in ends in exactly one report, unless it was abandoned.
 * 2. User code starts only before `freshUntil`.
 * 3. Queued grants are few: what the pool will start within `prefetchMillis`.
 */
import { Clock, Duration, Effect, Exit, Fiber, Option, Random } from "effect"
import { isRegulated } from "../domain/Permit.ts"
import * as Retry from "../domain/Retry.ts"
import { Refused } from "../domain/Refused.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskName } from "../domain/Task.ts"
import type { Fence } from "../domain/Lease.ts"
import type { Revocation } from "../services/ExecutorStorage.ts"
import { checkpointMax, type Grant, type Report } from "../services/RunStorage.ts"
import { failureOfCause } from "./failures.ts"
import type { Handler, Unsuccessful } from "./Handler.ts"

export interface Pool {
  readonly handlers: ReadonlyMap<TaskName, Handler>
  readonly serve: (handler: Handler) => void
  /** Queued runs of the task are given back. */
  readonly forsake: (task: TaskName) => void
  /** No user code starts after this instant of the monotonic clock, in milliseconds. */
  readonly keepFresh: (until: number) => void
  readonly take: (grants: ReadonlyArray<Grant>) => void
  /** How many more grants there is use for. */
  readonly wanted: () => number
  /** How many more could start right now, if what has ended took its place until its report is out. */
  readonly free: () => number
  readonly hasReports: () => boolean
  readonly takeReports: (max: number) => ReadonlyArray<Report>
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
}

/** Why a run is being interrupted. */
type Stop = "cancel" | "suspend" | "handOver" | "giveBack" | "abandon"

interface Carried {
  readonly grant: Grant
  readonly handler: Handler
  readonly startedAt: number
  fiber: Fiber.Fiber<string | undefined, Unsuccessful> | undefined
  stop: Stop | undefined
  checkpoint: string | undefined
  /** How long it is handed over for at most. */
  awaitsMillis: number | undefined
}

const prefetchMillis = 100
const queueMax = 1000

export const make = Effect.fnUntraced(function* (options: {
  readonly capacity: number
  /** Whether user code may start. */
  readonly mark: (grant: Grant) => Effect.Effect<boolean>
  readonly onChange: () => void
}) {
  const { capacity, mark, onChange } = options
  const clock = yield* Clock.Clock
  const random = yield* Random.Random

  const handlers = new Map<TaskName, Handler>()
  const carried = new Map<RunId, Carried>()
  let queue: Array<Grant> = []
  let reports: Array<Report> = []
  let freshUntil = 0
  /** How long a run takes on average. As long as that is not known, nothing is prefetched. */
  let averageMillis = prefetchMillis

  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const report = (made: Report) => {
    reports.push(made)
    onChange()
  }

  let isPumping = false
  const pump = () => {
    if (isPumping) return
    // A run that ends at once calls back in here; the loop, not the stack, goes on to the next.
    isPumping = true
    while (queue.length > 0 && carried.size < capacity) {
      const now = monotonic()
      if (now >= freshUntil) break
      // Taken out first: the handler may run right here, and whatever it wakes must not find it twice.
      begin(queue.shift()!, now)
    }
    isPumping = false
  }

  const begin = (grant: Grant, now: number) => {
    const handler = handlers.get(grant.task)
    if (handler === undefined) return release(grant)
    const entry: Carried = {
      grant,
      handler,
      startedAt: now,
      fiber: undefined,
      stop: undefined,
      checkpoint: undefined,
      awaitsMillis: undefined,
    }
    carried.set(grant.run, entry)
    entry.fiber = Effect.runForkWith(handler.context)(carryOut(entry))
    entry.fiber.addObserver((exit) => end(entry, exit))
  }

  const carryOut = (entry: Carried): Effect.Effect<string | undefined, Unsuccessful> => {
    const { grant, handler } = entry
    const { timeoutMillis } = handler.policy
    const work = handler.carryOut(grant.payload, {
      id: grant.run,
      namespace: grant.namespace,
      task: grant.task,
      attempt: grant.attempt,
      fence: grant.fence,
      slot: grant.slot,
      idempotencyKey: grant.idempotencyKey,
      shard: grant.shard,
      checkpoint: grant.checkpoint,
      keep: (checkpoint) =>
        checkpoint.length > checkpointMax ? Effect.fail(tooLong(checkpoint)) : Effect.sync(() => {
          entry.checkpoint = checkpoint
        }),
      handOver: (timeout) =>
        Effect.suspend(() => {
          entry.awaitsMillis = timeout === undefined
            ? undefined
            : Duration.toMillis(Duration.fromInputUnsafe(timeout))
          entry.stop ??= "handOver"
          return Effect.interrupt
        }),
    })
    const timed = timeoutMillis === undefined ? work : Effect.timeoutOrElse(work, {
      duration: timeoutMillis,
      orElse: () => Effect.fail(tookTooLong(timeoutMillis)),
    })
    if (!grant.isCareful && !isRegulated(handler.policy)) return timed
    return Effect.flatMap(mark(grant), (mayStart) => {
      // A start that was not accepted is not ours to report on.
      if (!mayStart) return leave(entry, "abandon")
      // The answer may have come while this process stood still, and the lease ran out meanwhile.
      return monotonic() < freshUntil ? timed : leave(entry, "giveBack")
    })
  }

  const leave = (entry: Carried, why: Stop) =>
    Effect.suspend(() => {
      entry.stop ??= why
      return Effect.interrupt
    })

  const end = (entry: Carried, exit: Exit.Exit<string | undefined, Unsuccessful>) => {
    const { grant, startedAt, stop } = entry
    const { fence, run } = grant
    carried.delete(run)
    averageMillis += (monotonic() - startedAt - averageMillis) * 0.1
    if (stop === "abandon") onChange()
    else if (Exit.isSuccess(exit)) {
      const result = exit.value
      report({
        _tag: "Succeed",
        run,
        fence,
        ...(result !== undefined && { result }),
        ...calledIn(entry, false),
      })
    } else if (stop === "cancel") report({ _tag: "Abort", run, fence })
    else if (stop === "suspend") putDown(grant, entry.checkpoint)
    else if (stop === "handOver") handOver(entry)
    else if (stop === "giveBack") release(grant)
    else reportUnsuccessful(entry, exit)
    pump()
  }

  const release = ({ fence, run }: Grant) => report({ _tag: "Release", run, fence })

  const putDown = ({ fence, run }: Grant, checkpoint?: string) =>
    report({ _tag: "Yield", run, fence, ...(checkpoint !== undefined && { checkpoint }) })

  const handOver = ({ awaitsMillis, grant: { fence, run } }: Carried) =>
    report({
      _tag: "Await",
      run,
      fence,
      ...(awaitsMillis !== undefined && { timeoutMillis: Math.ceil(awaitsMillis) }),
    })

  /** What the breaker of its task is told; a declared error is an answer like any other. */
  const calledIn = ({ grant, handler, startedAt }: Carried, isBad: boolean) => {
    const { breaker } = handler.policy
    const { epoch, namespace } = grant
    if (breaker === undefined || epoch === undefined) return {}
    return {
      call: { namespace, breaker, epoch, isBad, millis: Math.round(monotonic() - startedAt) },
    }
  }

  const reportUnsuccessful = (entry: Carried, exit: Exit.Failure<unknown, Unsuccessful>) => {
    const { grant: { attempt, crashes, fence, run }, handler } = entry
    const { failure, isAnswer, isTimeOut } = unsuccessfulOf(exit)
    const called = calledIn(entry, !isAnswer)
    const delayMillis = isAnswer || !Retry.covers(handler.policy.retry, failure.tag)
      ? undefined
      : Retry.delayAfter(handler.policy.retry, attempt - crashes, random.nextDoubleUnsafe())
    report(
      delayMillis === undefined
        ? { _tag: isTimeOut ? "TimeOut" : "GiveUp", run, fence, failure, ...called }
        : { _tag: "Retry", run, fence, delayMillis, failure, ...called },
    )
  }

  const stop = (entry: Carried, why: Stop) => {
    // What is being put down may still be stopped; to give it back would lose its checkpoint.
    const isOutdone = entry.stop === "suspend" && why !== "giveBack"
    if (entry.stop === undefined || isOutdone) entry.stop = why
    entry.fiber?.interruptUnsafe()
  }

  /** Whether the grant was waiting in the queue. */
  const unqueue = (run: RunId, fence: Fence): boolean => {
    const at = queue.findIndex((grant) => grant.run === run && grant.fence === fence)
    if (at >= 0) queue = queue.toSpliced(at, 1)
    return at >= 0
  }

  const current = (run: RunId, fence: Fence): Carried | undefined => {
    const entry = carried.get(run)
    return entry?.grant.fence === fence ? entry : undefined
  }

  const pool: Pool = {
    handlers,
    serve: (handler) => {
      handlers.set(handler.task, handler)
    },
    forsake: (task) => {
      handlers.delete(task)
      const left = queue.filter((grant) => grant.task === task)
      queue = queue.filter((grant) => grant.task !== task)
      left.forEach(release)
    },
    keepFresh: (until) => {
      freshUntil = until
      pump()
    },
    take: (grants) => {
      queue.push(...grants)
      pump()
    },
    wanted: () => {
      const startable = Math.floor(capacity * prefetchMillis / Math.max(averageMillis, 0.01))
      const prefetch = Math.min(queueMax, Math.max(0, startable - capacity))
      return capacity + prefetch - carried.size - queue.length
    },
    free: () => Math.max(0, capacity - carried.size - queue.length - reports.length),
    hasReports: () => reports.length > 0,
    takeReports: (max) => {
      const taken = reports.slice(0, max)
      reports = reports.length > max ? reports.slice(max) : []
      return taken
    },
    revoke: ({ fence, isSuspending, run }) => {
      const entry = current(run, fence)
      if (entry !== undefined) stop(entry, isSuspending === true ? "suspend" : "cancel")
      if (unqueue(run, fence)) {
        report({ _tag: isSuspending === true ? "Release" : "Abort", run, fence })
      }
    },
    abandon: (run, fence) => {
      const entry = current(run, fence)
      if (entry !== undefined) stop(entry, "abandon")
      unqueue(run, fence)
    },
    abandonAll: () => {
      queue = []
      for (const entry of carried.values()) stop(entry, "abandon")
    },
    giveBack: (task) => {
      for (const entry of carried.values()) {
        if (task === undefined || entry.grant.task === task) stop(entry, "giveBack")
      }
    },
    known: () => [...carried.values().map(({ grant }) => grant), ...queue, ...reports],
    running: (task) =>
      task === undefined
        ? carried.size
        : carried.values().filter(({ grant }) => grant.task === task).toArray().length,
    queued: () => queue.length,
  }
  return pool
})

const tooLong = (checkpoint: string) =>
  new Refused({
    field: "checkpoint",
    reason: `it has ${checkpoint.length} characters, more than ${checkpointMax}`,
    remedy: "Keep the data elsewhere, and here where it is",
  })

const tookTooLong = (timeoutMillis: number): Unsuccessful => ({
  failure: {
    tag: "TimedOut",
    message: `the attempt took longer than its ${timeoutMillis} ms and was interrupted`,
  },
  isAnswer: false,
  isTimeOut: true,
})

const unsuccessfulOf = (exit: Exit.Failure<unknown, Unsuccessful>): Unsuccessful => {
  const declared = Exit.findErrorOption(exit)
  return Option.isSome(declared)
    ? declared.value
    : { failure: failureOfCause(exit.cause), isAnswer: false }
}

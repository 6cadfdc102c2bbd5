/**
 * The trips of an executor: each takes the reports that are ready to whoever keeps the runs, and comes back
 * with grants. So what has ended since the last one is settled as a group, in the step that claims.
 *
 * 1. Reports are sent until an answer comes; sent twice they count once (R5).
 * 2. A claim is repeated under its round until an answer comes; it grants the same again (R7).
 *    What is granted past that, to a late or doubled call, is given back by `reconcile` (R13).
 * 3. Nothing is claimed while nothing may begin here, since others may be able to: a trip without reports
 *    waits for that, and one with reports brings nothing back.
 */
import { Effect, Exit, Latch, Option } from "effect"
import type { Incarnation } from "../domain/Executor.ts"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Labels } from "../domain/Labels.ts"
import type { Regulation } from "../domain/Permit.ts"
import type { Held } from "../domain/Places.ts"
import { isRouted } from "../domain/Waiting.ts"
import type { Ending, Grant, Report } from "../services/RunStorage.ts"
import type { SessionLost, Transport } from "../services/Transport.ts"
import { pause, untilAnswered } from "./answered.ts"
import type { Claimant, Claimants } from "./Claimants.ts"
import type { Handler } from "./Handler.ts"
import type { Pool } from "./Pool.ts"
import { callsIn, isOfTimeOut } from "./Reporting.ts"

/** Of whom, and of whose tasks, runs are wanted. */
export interface Destination {
  readonly claimant: Claimant
  readonly loop: number
  readonly round: number
  /** As of then. */
  readonly handlers: () => ReadonlyArray<Handler>
  readonly regulation?: Regulation | undefined
  /** Opens when they are others than before. Whoever waits for work waits for that of all. */
  readonly hasOthers?: Latch.Latch
}

export interface Trip extends Destination {
  readonly limit: number
  /** So many places are kept for what comes; `limit` unless named. */
  readonly reserved?: number
  /** It takes along what is to be reported. */
  readonly isReporting: boolean
  /** If it reports nothing. */
  readonly waitMillis: number
  /** It asks whether there is something, and claims nothing. */
  readonly looks?: true
  /** What comes, to be put into the pool; for so many, the first of them, places were kept. */
  readonly granted: (grants: ReadonlyArray<Grant>, places: number) => void
}

export interface Answer {
  readonly grants: ReadonlyArray<Grant>
  readonly isReady?: true
}

export interface Trips {
  readonly go: (self: Incarnation, trip: Trip) => Effect.Effect<Answer, SessionLost>
  /** Asks whether there is something for who has no place for it. */
  readonly look: (
    self: Incarnation,
    destination: Destination,
  ) => Effect.Effect<Answer, SessionLost>
  /** Whether one is to go for so many grants, or first to `waitForMore`. */
  readonly isWorthIt: (limit: number) => boolean
  readonly waitForMore: Effect.Effect<unknown>
  /** A new incarnation begins. */
  readonly begin: () => void
  /** The last round of each loop that was answered. */
  readonly rounds: () => ReadonlyArray<{ readonly loop: number; readonly round: number }>
  /** All that the executor has in hand: until its report was answered, a run is. */
  readonly known: () => ReadonlyArray<Held>
  /** How each that has a time-out is ended if nothing is heard from here: what has ended so, by its report. */
  readonly endingsLeft: () => ReadonlyArray<Ending>
  /** How many reports are on their way, */
  readonly unanswered: () => number
  /** and how many of these, or of those to come, tell a breaker of a call. */
  readonly calls: () => number
}

// 200 a round cost a quarter more processor time a run than 400, and 500 no less: a round's own cost
// is a commit and the start of a statement. Prefetch is bounded by time, so long runs never see it.
export const grantsMax = 400
const reportsMax = 1000
export const patientMillis = 20_000
/** A few free places wait so long for more of them. */
export const fewMillis = 100

export const make = (
  { claimants, labels, namespace, pool, transport }: {
    readonly claimants: Claimants
    readonly labels: Labels
    readonly namespace: Namespace
    readonly pool: Pool
    readonly transport: Transport["Service"]
  },
): Trips => {
  const sending = new Set<ReadonlyArray<Report>>()
  const answered = new Map<number, number>()
  /** Whether a few places that are free wait for more of them. */
  let waiting: "not" | "waits" | "has waited" = "not"

  const go = Effect.fnUntraced(function* (self: Incarnation, trip: Trip) {
    const { claimant, handlers, hasOthers, isReporting, limit, loop, looks } = trip
    const { regulation, reserved = limit, round } = trip
    // Reports are on their way as soon as they are taken: a fiber may yield between any two effects, and
    // a beat that knew of neither would have storage give their runs to others.
    const set = Effect.sync(() => {
      const reports = isReporting ? pool.takeReports(reportsMax) : []
      sending.add(reports)
      if (limit > 0 && waiting === "has waited") waiting = "not"
      const isPatient = trip.waitMillis > 0
      // Another loop may have taken the reports that it was to go for: it would wait for nothing.
      const isIdle = isPatient && reports.length === 0 && (limit > 0 || looks === true)
      const places = claimants.ask(claimant, { limit, reserved, isPatient, isIdle })
      return { reports, isIdle, places }
    })
    const answer = yield* Effect.acquireUseRelease(
      set,
      ({ isIdle, places, reports }) => {
        const asked = (isAgain: boolean) =>
          Effect.suspend(() => {
            const served = handlers()
            const isClaiming = served.length > 0 && pool.isFresh()
            return transport.round({
              incarnation: self,
              loop,
              round,
              isAgain,
              lanes: served.flatMap(lanesOf(self)),
              limit: isClaiming ? limit : 0,
              reports,
              waitMillis: isIdle ? trip.waitMillis : 0,
              ...(regulation !== undefined && { regulation }),
              ...(looks && { looks }),
              ...(served.some(isBoundByAge) && { tellsAge: true as const }),
            })
          })
        const call: typeof asked = reports.length > 0
          ? asked
          : (isAgain) => Effect.andThen(pool.untilFresh, asked(isAgain))
        const ask = hasOthers !== undefined && isIdle ? upToDate(hasOthers, call) : call
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
          claimants.answered({ isIdle, reserved })
          sending.delete(reports)
          // What was kept for this trip others may ask for now: were they not told, and nothing came,
          // the loop that waits for work could be the one that waits here, for ever.
          if (reserved > 0 || reports.length > 0) claimants.wake()
        }),
    )
    answered.set(loop, round)
    claimant.asking -= answer.places
    trip.granted(answer.grants, answer.places)
    return answer
  })

  const lanesOf = (self: Incarnation) => ({ policy, task }: Handler) => {
    const claimed = Lane.claimed(namespace, task, policy.selector, labels)
    return isRouted(policy) ? [...claimed, Lane.ofExecutor(namespace, task, self)] : claimed
  }

  const unanswered = () => sending.values().reduce((sum, { length }) => sum + length, 0)

  return {
    go,
    look: (self, destination) =>
      go(self, {
        ...destination,
        looks: true,
        limit: 0,
        isReporting: false,
        waitMillis: patientMillis,
        granted: pool.take,
      }),
    // While many are under way, fetching a few more costs as much as fetching many. So a few are fetched
    // when more places are not free soon: those that run may do so for hours.
    isWorthIt: (limit) =>
      limit > 0 &&
      (waiting === "has waited" || pool.running() + pool.queued() === 0 ||
        limit * 4 >= Math.min(grantsMax, pool.sizes().core)),
    waitForMore: Effect.suspend(() => {
      if (waiting !== "not") return Effect.void
      waiting = "waits"
      return Effect.sleep(fewMillis).pipe(
        Effect.andThen(Effect.sync(() => {
          waiting = "has waited"
          claimants.wake()
        })),
        Effect.forkChild,
      )
    }),
    begin: () => {
      answered.clear()
      waiting = "not"
    },
    rounds: () => [...answered].map(([loop, round]) => ({ loop, round })),
    known: () => [...pool.known(), ...[...sending].flat()],
    endingsLeft: () => [
      ...pool.endingsLeft(),
      ...[...pool.reports(), ...[...sending].flat()].filter(isOfTimeOut)
        .map((report) => ({ inMillis: 0, report })),
    ],
    unanswered,
    calls: () => pool.calls() + [...sending].reduce((sum, each) => sum + callsIn(each), 0),
  }
}

/** Its retries go by how long its runs have been due. */
const isBoundByAge = ({ policy }: Handler): boolean => policy.retry.withinMillis !== undefined

/**
 * Whoever waits for work waits for that of all tasks that are served meanwhile: the call is given up, and
 * made again for the same round, which hands out what the one before may have been granted.
 */
const upToDate = <A, E>(
  hasOthers: Latch.Latch,
  call: (isAgain: boolean) => Effect.Effect<A, E>,
) =>
(isAgain: boolean): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    hasOthers.closeUnsafe()
    return Effect.raceFirst(
      Effect.asSome(call(isAgain)),
      Effect.as(hasOthers.await, Option.none<A>()),
    )
  }).pipe(
    Effect.flatMap((answer) =>
      Option.isSome(answer) ? Effect.succeed(answer.value) : upToDate(hasOthers, call)(true)
    ),
  )

/**
 * Keeps the lease of an incarnation by beats, and settles with them what it and others hold differently:
 * who holds what, what is to stop, how large its pool is to be.
 *
 * A beat leaves what is to be said of runs with a time-out if this process falls silent; where that would
 * be too late with the next one, it beats sooner.
 *
 * A beat that got no answer is made again soon: the way may be open by then, and until one is answered
 * nothing begins here.
 *
 * 1. User code starts only while the lease is younger than two thirds of its ttl, counted from before the
 *    beat was sent; when it may have run out all that runs is stopped, whatever is being waited for.
 */
import { Effect, Latch, Option } from "effect"
import type { Incarnation, Vitals } from "../domain/Executor.ts"
import type { Fence } from "../domain/Lease.ts"
import * as Places from "../domain/Places.ts"
import type { PoolSizes } from "../domain/PoolSizes.ts"
import type { RunId } from "../domain/RunId.ts"
import { held } from "../services/ExecutorStorage.ts"
import { endingsMax } from "../services/RunStorage.ts"
import { SessionLost, type Transport } from "../services/Transport.ts"
import { pause } from "./answered.ts"
import type { Beats } from "./Beats.ts"
import type { Pool } from "./Pool.ts"
import { tellMillis } from "./Telling.ts"
import type { Trips } from "./Trips.ts"

export interface Beating {
  /** Goes on until the lease is lost. */
  readonly loop: (self: Incarnation, joinedAt: number) => Effect.Effect<never, SessionLost>
  /** Other endings than before may have to be left. */
  readonly onEndings: () => void
  /** What goes on here is somebody else's, or soon. */
  readonly letGo: () => void
}

export const make = (
  { beats, monotonic, pool, transport, trips, ttlMillis }: {
    readonly beats: Beats["Service"] | undefined
    /** Milliseconds of a clock that is never set. */
    readonly monotonic: () => number
    readonly pool: Pool
    readonly transport: Transport["Service"]
    readonly trips: Trips
    readonly ttlMillis: number
  },
): Beating => {
  /** Opens when other endings than before may have to be left, and then when they have to. */
  const hasEndings = Latch.makeUnsafe()
  const isToBeat = Latch.makeUnsafe()
  /** Until when, by run and fence, was left with the last beat; as far as storage may know of it. */
  let left: ReadonlyMap<string, number> = new Map()
  let leftTimes = 0
  /** The sizes that were last wished by others, as text. */
  let wished: string | undefined

  const letGo = () => {
    pool.keepFresh(0)
    pool.abandonAll()
  }

  /** Storage may hand its runs on: what of them goes on here is stopped before anything else is waited for. */
  const lost = (self: Incarnation) =>
    Effect.suspend(() => {
      letGo()
      return Effect.fail(new SessionLost({ incarnation: self }))
    })

  const loop = (self: Incarnation, joinedAt: number) => {
    let confirmedAt = joinedAt
    let isAnswered = true
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
      const now = { held: held(trips.known()), vitals: vitals() }
      // Who has another way may keep the lease by that, once nothing has been heard for a while.
      if (isAnswered) {
        beats?.heard({ incarnation: self, ttlMillis, ...now, endings: pool.endings() })
      }
      const leaving = endingsToLeave()
      const answer = yield* transport.beat(self, now.held, now.vitals, leaving.said).pipe(
        Effect.timeout(ttlMillis / 4),
        Effect.option,
      )
      isAnswered = Option.isSome(answer)
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
      beats?.heard({
        incarnation: self,
        ttlMillis,
        held: held([]),
        vitals: vitals(),
        endings: [],
      })
      pool.keepFresh(joinedAt + ttlMillis * 2 / 3)
      const inTurn = Effect.sleep(ttlMillis / 4)
      const rest = Effect.suspend(() => isAnswered ? inTurn : Effect.raceFirst(inTurn, pause))
      const beating = Effect.raceFirst(rest, isToBeat.await).pipe(
        Effect.andThen(beat),
        Effect.forever,
      )
      return yield* Effect.raceFirst(beating, end)
    })
  }

  /** What the lease ends before is not left: it is then lost. */
  const endingsToLeave = () => {
    const all = trips.endingsLeft().filter(({ inMillis }) => inMillis < ttlMillis)
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
    const wanted = new Set(trips.endingsLeft().map(({ report }) => Places.nameOf(report)))
    const mine = new Set(trips.known().map(Places.nameOf))
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
    const mine = trips.known()
    // What was granted here again has passed on from what it was before, which may still be ending.
    const last = new Map<RunId, Fence>()
    for (const { fence, run } of mine) {
      if (fence > (last.get(run) ?? -1)) last.set(run, fence)
    }
    const grants = [...last].map(([run, fence]) => ({ run, fence }))
    // Without an answer it is asked again after the next beat, which must not wait for this one.
    const passed = yield* transport.reconcile(self, { grants, rounds: trips.rounds() }).pipe(
      Effect.timeout(ttlMillis / 4),
      Effect.orElseSucceed(() => []),
    )
    const gone = new Set(passed)
    for (const { fence, run } of mine) {
      if (gone.has(run) || fence !== last.get(run)) pool.abandon(run, fence)
    }
  })

  return { loop, onEndings: () => hasEndings.openUnsafe(), letGo }
}

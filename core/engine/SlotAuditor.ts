/**
 * The standing audit: of each window of time that is over, whether every slot that was due has its
 * one record.
 *
 * It does its work in pages, keeps how far it has come with what it has found, and may run anywhere:
 * whoever holds the duty `audit` goes on with the page that comes next. It takes half of the time at
 * most, and a page is small, so nobody waits for it.
 */
import { Clock, Duration, Effect } from "effect"
import * as ClockStep from "../domain/ClockStep.ts"
import * as SlotAudit from "../domain/SlotAudit.ts"
import type { TriggerId } from "../domain/Trigger.ts"
import type { Audited, AuditPlace, Judged, KeptFinding } from "../services/AuditStorage.ts"
import { watcher } from "./Loops.ts"
import { Ownership } from "../services/Ownership.ts"
import { Storage } from "../services/Storage.ts"

export interface TriggersOptions {
  /** How much time goes by before its slots are audited. */
  readonly auditInterval?: Duration.Input
  /** How much of it one pass judges: an hour, so that a trigger of each second has not too many slots. */
  readonly auditWindow?: Duration.Input
  /**
   * How long planners have before the audit looks: at a slot, and after all of them may have stood
   * still, which is before this one began and when the clock was set or its machine slept.
   */
  readonly auditPatience?: Duration.Input
}

export interface SlotAuditReport {
  /** The storage clock. */
  readonly now: number
  /** Slots before this instant were judged. */
  readonly judgedUpTo: number
  readonly findings: ReadonlyArray<KeptFinding>
}

const pageSize = 100

const nothing: Judged = { findings: [], open: [], looked: [] }

export const auditSlots = Effect.fnUntraced(function* (options: TriggersOptions) {
  const { audit } = yield* Storage
  const ownership = yield* Ownership
  const watched = yield* watcher
  const interval = Duration.toMillis(
    Duration.fromInputUnsafe(options.auditInterval ?? "15 minutes"),
  )
  const windowMillis = Duration.toMillis(Duration.fromInputUnsafe(options.auditWindow ?? "1 hour"))
  const patience = Duration.toMillis(
    Duration.fromInputUnsafe(options.auditPatience ?? "1 minute"),
  )
  const clock = yield* Clock.Clock
  const elapsed = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  let seen: ClockStep.Sighting | undefined
  /** Since when, as `elapsed` goes, planners could keep up. */
  let steadySince = elapsed()

  const look = Effect.gen(function* () {
    const before = elapsed()
    const found = yield* audit.place
    const error = (elapsed() - before) / 2
    const sighting = { said: found.now, at: before + error, error }
    if (seen !== undefined && ClockStep.between(seen, sighting) > 0) steadySince = elapsed()
    seen = sighting
    return found
  })

  const begin = Effect.fnUntraced(function* (now: number, place: AuditPlace) {
    const until = Math.min(now - patience, place.from + windowMillis)
    const missing = Math.min(interval, windowMillis) - (until - place.from)
    if (missing > 0) return yield* Effect.sleep(Math.max(1000, Math.min(missing, interval)))
    yield* audit.keep({ ...place, step: place.step + 1, until }, nothing)
  })

  const goOn = Effect.fnUntraced(function* (place: AuditPlace & { readonly until: number }) {
    const { last, triggers } = yield* audit.page(place, pageSize)
    const judged = judgedOf(triggers, place.until)
    const step = place.step + 1
    const isKept = yield* audit.keep(
      last === undefined
        ? { step, from: place.until + 1, until: undefined, after: 0 as TriggerId }
        : { ...place, step, after: last },
      judged,
    )
    if (isKept && judged.findings.length > 0) {
      yield* Effect.logError("the audit of slots found something wrong", {
        findings: judged.findings.slice(0, 10),
      })
    }
  })

  const step = Effect.gen(function* () {
    const { now, place } = yield* look
    const toWait = steadySince + patience - elapsed()
    if (toWait > 0) return yield* Effect.sleep(toWait)
    const { until } = place
    if (until === undefined) return yield* begin(now, place)
    const [took] = yield* Effect.timed(goOn({ ...place, until }))
    yield* Effect.sleep(took)
  })

  yield* ownership.whileHeld("audit", watched("audit slots", interval, step)).pipe(
    Effect.forkScoped,
  )
})

/** What a page comes to. */
export const judgedOf = (triggers: ReadonlyArray<Audited>, until: number): Judged => {
  const judgements = triggers.map((audited) => ({
    audited,
    judgement: SlotAudit.judge(audited.account, audited.from, audited.until),
  }))
  return {
    findings: judgements.flatMap(({ audited: { trigger }, judgement: { findings } }) =>
      findings.map((finding) => ({ ...finding, trigger }))
    ),
    open: judgements.flatMap(({ audited, judgement: { open } }) => {
      const rest = audited.until < until ? audited.until + 1 : undefined
      const from = open ?? rest
      return from === undefined ? [] : [{ trigger: audited.trigger, from }]
    }),
    looked: triggers.map(({ trigger }) => trigger),
  }
}

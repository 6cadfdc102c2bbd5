/**
 * A circuit breaker: while what is behind it is failing, the runs that would call it stay where they
 * wait. They take no place and lose no attempt.
 *
 * Closed, it counts calls, and opens when too many of them failed or were slow. Open, it lets nobody
 * through for a while. Half open, it lets few through at a time, then twice as many, and closes when
 * enough of them went well. Each of those phases has a number, its *epoch*: what is told of a call
 * that was let through in an earlier one says nothing about this one, and is not counted.
 *
 * An operator may open or close it by hand; it goes on by itself when the order is taken back.
 *
 * A breaker *by key* is one for each key of the runs: settings are those of its name, and so is an
 * order, unless the key has one of its own. Of a key that nothing bad is known of nothing is kept.
 */
import { Schema } from "effect"
import { Words } from "./Asked.ts"
import { Namespace } from "./Namespace.ts"
import * as Text from "./Text.ts"

export const BreakerName = Schema.NonEmptyString.check(Schema.isMaxLength(127), Text.kept)

/** At most so long, as the key of a gate. */
export const BreakerKey = Schema.String.check(Schema.isMaxLength(512), Text.kept)

/** The breaker that the runs of a task stand behind: one for all of them, or one for each key. */
export const Behind = Schema.Union([
  BreakerName,
  Schema.Struct({ name: BreakerName, by: Schema.Literal("key") }),
])
export type Behind = typeof Behind.Type
export type ByKey = Exclude<Behind, string>

export const isByKey = (behind: Behind | undefined): behind is ByKey =>
  behind !== undefined && typeof behind !== "string"

export const nameOf = (behind: Behind): string => isByKey(behind) ? behind.name : behind

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const percent = between(1, 100)

export const Settings = Schema.Struct({
  /** It opens when so many of a hundred calls within `windowMillis` failed. */
  failurePercent: percent,
  /** It opens as well when so many in a row did: the good calls of a busy window hide them. */
  badInARow: between(1, 100_000),
  /** A call that takes longer is as bad as one that failed; none is unless named. */
  slowMillis: Schema.optionalKey(between(1, 86_400_000)),
  /** Fewer calls than these say nothing. */
  callsMin: between(1, 100_000),
  windowMillis: between(100, 3_600_000),
  /** It stays open for so long before it tries. */
  openMillis: between(100, 86_400_000),
  /** So many are let through at first when it tries, in each `probeMillis`. */
  probes: between(1, 1000),
  probeMillis: between(100, 3_600_000),
})
export type Settings = typeof Settings.Type

export const usual: Settings = {
  failurePercent: 50,
  badInARow: 20,
  callsMin: 10,
  windowMillis: 30_000,
  openMillis: 30_000,
  probes: 3,
  probeMillis: 5_000,
}

const Calls = Schema.Struct({ count: Schema.Int, bad: Schema.Int })
type Calls = typeof Calls.Type
const noCalls: Calls = { count: 0, bad: 0 }

export const Phase = Schema.TaggedUnion({
  Closed: {
    /** When the present half of the window began. */
    from: Schema.Finite,
    present: Calls,
    /** The half before it. */
    before: Calls,
    /** So many of the latest went badly. */
    row: Schema.Int,
  },
  Open: { until: Schema.Finite, cause: Schema.String },
  HalfOpen: {
    cause: Schema.String,
    /** When the present interval began, in which `issued` were let through. */
    from: Schema.Finite,
    issued: Schema.Int,
    heard: Calls,
    /** How often the number of probes has doubled. */
    stage: Schema.Int,
  },
})
export type Phase = typeof Phase.Type

export const Order = Schema.Struct({
  to: Schema.Literals(["open", "closed"]),
  at: Schema.Finite,
  ...Words.fields,
})
export type Order = typeof Order.Type

export const Breaker = Schema.Struct({
  settings: Settings,
  epoch: Schema.Int,
  /** When the phase began. */
  since: Schema.Finite,
  phase: Phase,
  order: Schema.optionalKey(Order),
})
export type Breaker = typeof Breaker.Type

/** As others see it. */
export const BreakerView = Schema.Struct({
  namespace: Namespace,
  name: BreakerName,
  /** Of a breaker by key. */
  key: Schema.optionalKey(BreakerKey),
  settings: Settings,
  state: Schema.Literals(["Closed", "Open", "HalfOpen"]),
  since: Schema.DateTimeUtc,
  /** When it tries next, if it is open and nobody holds it so. */
  until: Schema.optionalKey(Schema.DateTimeUtc),
  /** Why it opened. */
  cause: Schema.optionalKey(Schema.String),
  /** Within its window, or among its probes. */
  calls: Schema.Int,
  bad: Schema.Int,
  order: Schema.optionalKey(
    Schema.Struct({ ...Order.fields, at: Schema.DateTimeUtc }),
  ),
})
export type BreakerView = typeof BreakerView.Type

const closed = (now: number): Phase => ({
  _tag: "Closed",
  from: now,
  present: noCalls,
  before: noCalls,
  row: 0,
})

export const make = (now: number, settings: Settings = usual): Breaker => ({
  settings,
  epoch: 1,
  since: now,
  phase: closed(now),
})

const enter = (breaker: Breaker, now: number, phase: Phase): Breaker => ({
  ...breaker,
  epoch: breaker.epoch + 1,
  since: now,
  phase,
})

/** The probes get more twice, then it closes. */
const lastStage = 2

const sum = (a: Calls, b: Calls): Calls => ({ count: a.count + b.count, bad: a.bad + b.bad })

const isFailing = ({ failurePercent }: Settings, { bad }: Calls, count: number): boolean =>
  bad > 0 && bad * 100 >= failurePercent * count

/** The phase as it is at `now`, before anything is asked of it. */
const present = (breaker: Breaker, now: number): Breaker => {
  const { phase, settings } = breaker
  // A clock that was set may have left the start of anything in the future: it begins anew.
  const age = (from: number) => now < from ? Infinity : now - from
  if (phase._tag === "Closed") {
    const half = settings.windowMillis / 2
    if (age(phase.from) < half) return breaker
    const before = age(phase.from) < 2 * half ? phase.present : noCalls
    return { ...breaker, phase: { ...phase, from: now, present: noCalls, before } }
  }
  if (phase._tag === "Open") {
    const left = phase.until - now
    if (left > 0 && left <= settings.openMillis) return breaker
    return enter(breaker, now, {
      _tag: "HalfOpen",
      cause: phase.cause,
      from: now,
      issued: 0,
      heard: noCalls,
      stage: 0,
    })
  }
  // Probes of which nothing was heard have died with who carried them out: others follow them.
  return age(phase.from) < settings.probeMillis
    ? breaker
    : { ...breaker, phase: { ...phase, from: now, issued: 0, heard: noCalls } }
}

const probesOf = ({ probes }: Settings, stage: number): number => probes * 2 ** stage

export interface Passage {
  readonly breaker: Breaker
  /** How many of those wanted are let through. */
  readonly count: number
  /** How long until more may be, if that is known. */
  readonly retryInMillis: number | undefined
}

/** Lets at most `wanted` through. */
export const pass = (breaker: Breaker, wanted: number, now: number): Passage => {
  if (breaker.order !== undefined) {
    const count = breaker.order.to === "open" ? 0 : wanted
    return { breaker, count, retryInMillis: undefined }
  }
  const at = present(breaker, now)
  const { phase, settings } = at
  if (phase._tag === "Closed") return { breaker: at, count: wanted, retryInMillis: undefined }
  if (phase._tag === "Open") return { breaker: at, count: 0, retryInMillis: phase.until - now }
  const count = Math.max(0, Math.min(wanted, probesOf(settings, phase.stage) - phase.issued))
  return {
    breaker: { ...at, phase: { ...phase, issued: phase.issued + count } },
    count,
    retryInMillis: phase.from + settings.probeMillis - now,
  }
}

/** Some that were let through in `epoch` did not call. */
export const giveBack = (breaker: Breaker, epoch: number, count: number): Breaker => {
  const { phase } = breaker
  return phase._tag !== "HalfOpen" || epoch !== breaker.epoch ? breaker : {
    ...breaker,
    phase: { ...phase, issued: Math.max(0, phase.issued - count) },
  }
}

/** How one call went. */
export interface Call {
  readonly isBad: boolean
  readonly millis: number
}

/** Takes in how calls went that were let through in `epoch`. */
export const hear = (
  breaker: Breaker,
  epoch: number,
  told: ReadonlyArray<Call>,
  now: number,
): Breaker => {
  // By hand, it is not for the calls to say.
  if (breaker.order !== undefined || epoch !== breaker.epoch) return breaker
  const { phase, settings } = breaker
  if (phase._tag === "Open") return breaker
  const { slowMillis = Infinity } = settings
  const isBad = (call: Call) => call.isBad || call.millis >= slowMillis
  const calls = { count: told.length, bad: told.filter(isBad).length }
  if (phase._tag === "Closed") {
    const at = present(breaker, now)
    const window = at.phase as Extract<Phase, { readonly _tag: "Closed" }>
    const lastGood = told.findLastIndex((call) => !isBad(call))
    const row = lastGood < 0 ? window.row + told.length : told.length - 1 - lastGood
    const heard = { ...window, present: sum(window.present, calls), row }
    const all = sum(heard.present, heard.before)
    if (row >= settings.badInARow) return open(at, now, `${row} calls in a row failed or were slow`)
    return all.count >= settings.callsMin && isFailing(settings, all, all.count)
      ? open(at, now, `${all.bad} of ${all.count} calls failed or were slow`)
      : { ...at, phase: heard }
  }
  const heard = sum(phase.heard, calls)
  const probes = probesOf(settings, phase.stage)
  if (isFailing(settings, heard, probes)) {
    return open(breaker, now, `${heard.bad} of ${heard.count} probes failed or were slow`)
  }
  if (heard.count < probes) return { ...breaker, phase: { ...phase, heard } }
  if (phase.stage === lastStage) return enter(breaker, now, closed(now))
  return {
    ...breaker,
    phase: { ...phase, from: now, issued: 0, heard: noCalls, stage: phase.stage + 1 },
  }
}

const open = (breaker: Breaker, now: number, cause: string): Breaker =>
  enter(breaker, now, { _tag: "Open", until: now + breaker.settings.openMillis, cause })

/** Opens or closes it by hand, or takes the order back: then it is as it was, or closed. */
export const order = (
  breaker: Breaker,
  to: Order["to"] | "auto",
  now: number,
  { by, note }: Words = {},
): Breaker => {
  const present = breaker.order
  // Given again it is the same order, and in force since then.
  if (present?.to === to && present.by === by && present.note === note) return breaker
  const { order: _, ...rest } = breaker
  // What was heard under an order says nothing of the time without one, nor the other way round.
  if (to === "auto") {
    return breaker.order?.to === "closed"
      ? enter(rest, now, closed(now))
      : { ...rest, epoch: rest.epoch + 1 }
  }
  return {
    ...rest,
    epoch: rest.epoch + 1,
    order: { to, at: now, ...(by !== undefined && { by }), ...(note !== undefined && { note }) },
  }
}

/** That of a key, as it counts: with the settings of its name, and its order unless it has its own. */
export const inherit = (own: Breaker, named: Breaker): Breaker => {
  const order = own.order ?? named.order
  return {
    ...own,
    settings: named.settings,
    // An order of the name begins another time for its keys as well.
    epoch: own.epoch + named.epoch,
    ...(order !== undefined && { order }),
  }
}

/** What is kept of `inherited`, as it has become of `own`. */
export const disinherit = (
  { order: _, ...inherited }: Breaker,
  { order }: Breaker,
  named: Breaker,
): Breaker => ({
  ...inherited,
  epoch: inherited.epoch - named.epoch,
  ...(order !== undefined && { order }),
})

/** Whether nothing is known of it that one just made would not do as well. */
export const isAsNew = ({ order, phase }: Breaker): boolean =>
  order === undefined && phase._tag === "Closed" && phase.row === 0 &&
  phase.present.bad + phase.before.bad === 0

const dayMillis = 86_400_000

/**
 * Whether that of a key may be forgotten. One that has never opened may when its calls are out of the
 * window; one that has when nobody has asked for a day, as calls may be under way that an earlier
 * epoch let through.
 */
export const isForgotten = ({ epoch, order, phase, settings }: Breaker, now: number): boolean => {
  if (order !== undefined) return false
  const last = phase._tag === "Open" ? phase.until : phase.from
  return now - last >= (epoch === 1 ? settings.windowMillis : dayMillis)
}

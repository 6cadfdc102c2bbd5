/**
 * A permit lets runs of a task start now, whose starts are limited, that stand behind a breaker, or
 * that are in a group, which may be paused.
 *
 * What has been decided is kept in cells: one per limited task, one per breaker, and of a breaker by
 * key one per key, as long as something bad is known of it; one per group that was ever paused. Each function here goes from what the
 * cells of an asker are to what they shall be; an adapter sees to it that no two go at once.
 */
import { DateTime, Option, Schema } from "effect"
import { Words } from "./Asked.ts"
import * as Breaker from "./Breaker.ts"
import * as Group from "./Group.ts"
import { Namespace } from "./Namespace.ts"
import { Policy } from "./Policy.ts"
import * as RateLimit from "./RateLimit.ts"
import { TaskName } from "./TaskName.ts"

/** What the runs of a task have to ask before they start. */
export const Regulation = Schema.Struct({
  namespace: Namespace,
  task: TaskName,
  rateLimit: Policy.fields.rateLimit,
  breaker: Schema.optionalKey(Breaker.BreakerName),
  /** Its breaker is that of this key. */
  key: Schema.optionalKey(Breaker.BreakerKey),
  group: Schema.optionalKey(Group.GroupName),
})
export type Regulation = typeof Regulation.Type

/** Whether the runs of such a task need a permit to start. */
export const isRegulated = ({ breaker, group, rateLimit }: Policy): boolean =>
  breaker !== undefined || group !== undefined || rateLimit !== undefined

/** Whether it matters how many of those that had a permit start: a group only says yes or no. */
export const isCounted = ({ breaker, rateLimit }: Regulation): boolean =>
  breaker !== undefined || rateLimit !== undefined

/**
 * What is asked before runs of the task are claimed; nothing, if there may be as many as there are
 * places. The breaker of a key is asked by each run for itself, as only then its key is known.
 */
export const regulationOf = (
  namespace: Namespace,
  task: TaskName,
  policy: Policy,
): Regulation | undefined => {
  const { breaker, group, rateLimit } = policy
  const named = Breaker.isByKey(breaker) ? undefined : breaker
  return rateLimit === undefined && named === undefined && group === undefined ? undefined : {
    namespace,
    task,
    ...(rateLimit !== undefined && { rateLimit }),
    ...(named !== undefined && { breaker: named }),
    ...(group !== undefined && { group: group.name }),
  }
}

/** What says whether the group of a task is paused, and nothing else. */
export const regulationOfGroup = (
  namespace: Namespace,
  task: TaskName,
  { group }: Policy,
): Regulation | undefined => group && { namespace, task, group: group.name }

/** What a run of this key asks right before it starts. */
export const regulationOfKey = (
  namespace: Namespace,
  task: TaskName,
  breaker: string,
  key: string,
): Regulation => ({ namespace, task, breaker, key })

/** Why no run may start now. */
export const Closed = Schema.TaggedUnion({
  BreakerOpen: {
    breaker: Breaker.BreakerName,
    key: Schema.optionalKey(Breaker.BreakerKey),
    /** Unless an operator holds it open. */
    until: Schema.optionalKey(Schema.DateTimeUtc),
    cause: Schema.optionalKey(Schema.String),
  },
  RateLimited: { until: Schema.DateTimeUtc },
  /** Until somebody lets it go on. */
  GroupPaused: { group: Group.GroupName, since: Schema.DateTimeUtc, ...Words.fields },
})
export type Closed = typeof Closed.Type

export interface Permit {
  /** So many may start. */
  readonly count: number
  /** The epoch of the breaker in which they do. */
  readonly epoch: number | undefined
  /** How long until more may, if fewer may than asked and that is known. */
  readonly retryInMillis: number | undefined
  /** Why fewer may than asked. */
  readonly closed: Closed | undefined
}

export interface CellKey {
  readonly kind: "limit" | "breaker" | "key" | "group"
  readonly name: string
}

/** JSON text; absent as long as nothing was kept. An absent one that is answered is left as it is. */
export type Cell = string | undefined

export interface Step<Answer> {
  readonly answer: Answer
  /** One per cell, in order. */
  readonly cells: ReadonlyArray<Cell>
}

export type Command<Answer> = (cells: ReadonlyArray<Cell>, now: number) => Step<Answer>

const BreakerJson = Schema.fromJsonString(Breaker.Breaker)
const encodeBreaker = Schema.encodeSync(BreakerJson)
const decodeBreaker = Schema.decodeSync(BreakerJson)

const breakerOf = (cell: Cell, now: number): Breaker.Breaker =>
  cell === undefined ? Breaker.make(now) : decodeBreaker(cell)

const StandingJson = Schema.fromJsonString(Group.Standing)
const encodeStanding = Schema.encodeSync(StandingJson)
const decodeStanding = Schema.decodeSync(StandingJson)

const standingOf = (cell: Cell): Group.Standing =>
  cell === undefined ? Group.asNew : decodeStanding(cell)

const limitKey = (task: TaskName): CellKey => ({ kind: "limit", name: task })
const breakerKey = (name: string): CellKey => ({ kind: "breaker", name })

/** What the names of all cells of keys of a breaker begin with, and of no other. */
export const keysPrefix = (breaker: string): string => `${JSON.stringify(breaker)} `
const keyKey = (breaker: string, key: string): CellKey => ({
  kind: "key",
  name: keysPrefix(breaker) + key,
})

/** The cells of a breaker, or of one of its keys. */
export const ofBreaker = (name: string, key?: string): ReadonlyArray<CellKey> =>
  key === undefined ? [breakerKey(name)] : [breakerKey(name), keyKey(name, key)]

/** The cell of a group. */
export const ofGroup = (name: string): ReadonlyArray<CellKey> => [{ kind: "group", name }]

export const keysOf = (
  { breaker, group, key, rateLimit, task }: Regulation,
): ReadonlyArray<CellKey> => [
  ...(rateLimit === undefined ? [] : [limitKey(task)]),
  ...(breaker === undefined ? [] : ofBreaker(breaker, key)),
  ...(group === undefined ? [] : ofGroup(group)),
]

/** A breaker as it counts, and how to keep what becomes of it. */
interface Kept {
  readonly breaker: Breaker.Breaker
  readonly cells: (after: Breaker.Breaker) => ReadonlyArray<Cell>
}

/** Of the cells of `ofBreaker`. */
const keptOf = ([named, own]: ReadonlyArray<Cell>, isOfKey: boolean, now: number): Kept => {
  const whole = breakerOf(named, now)
  if (!isOfKey) return { breaker: whole, cells: (after) => [encodeBreaker(after)] }
  const before = breakerOf(own, now)
  return {
    breaker: Breaker.inherit(before, whole),
    cells: (after) => {
      const left = Breaker.disinherit(after, before, whole)
      return [
        named ?? encodeBreaker(whole),
        own === undefined && Breaker.isAsNew(left) ? undefined : encodeBreaker(left),
      ]
    },
  }
}

/** Why nothing is permitted while the group is paused, if it is: its cell is the last. */
const paused = (
  { group }: Regulation,
  cells: ReadonlyArray<Cell>,
): Closed | undefined => {
  if (group === undefined) return undefined
  const { isPaused, since, ...words } = standingOf(cells.at(-1))
  return isPaused
    ? Closed.cases.GroupPaused.make({ group, since: DateTime.makeUnsafe(since ?? 0), ...words })
    : undefined
}

/** The kept state of what regulates, in the shape that the functions here work on. */
const opened = (
  { breaker, key, rateLimit }: Regulation,
  cells: ReadonlyArray<Cell>,
  now: number,
) => ({
  paidUntil: rateLimit === undefined ? now : Number(cells[0] ?? 0),
  kept: breaker === undefined
    ? undefined
    : keptOf(rateLimit === undefined ? cells : cells.slice(1), key !== undefined, now),
})

/** With the cell of the group as it was: no start changes it. */
const sealed = (
  { group, rateLimit }: Regulation,
  cells: ReadonlyArray<Cell>,
  paidUntil: number,
  kept: Kept | undefined,
  breaker: Breaker.Breaker | undefined,
): ReadonlyArray<Cell> => [
  ...(rateLimit === undefined ? [] : [String(paidUntil)]),
  ...(kept === undefined || breaker === undefined ? [] : kept.cells(breaker)),
  ...(group === undefined ? [] : [cells.at(-1)]),
]

/** A permit for at most `wanted`. */
export const take = (regulation: Regulation, wanted: number): Command<Permit> => (cells, now) => {
  const { rateLimit } = regulation
  const closed = paused(regulation, cells)
  // Nothing is paid for, and no probe of the breaker used up.
  if (closed !== undefined) {
    return { answer: { count: 0, epoch: undefined, retryInMillis: undefined, closed }, cells }
  }
  const { kept, paidUntil } = opened(regulation, cells, now)
  const affordable = rateLimit === undefined
    ? wanted
    : Math.min(wanted, RateLimit.available(rateLimit, paidUntil, now))
  const passage = kept && Breaker.pass(kept.breaker, affordable, now)
  const count = passage?.count ?? affordable
  const paid = rateLimit === undefined || count === 0
    ? paidUntil
    : RateLimit.pay(rateLimit, paidUntil, now, count)
  return {
    answer: {
      count,
      epoch: passage?.breaker.epoch,
      ...(count === wanted
        ? { retryInMillis: undefined, closed: undefined }
        : count < affordable
        ? behind(regulation, passage!, now)
        : limited(RateLimit.waitMillis(rateLimit!, paid, now), now)),
    },
    cells: sealed(regulation, cells, paid, kept, passage?.breaker),
  }
}

const behind = (
  { breaker: name, key }: Regulation,
  { breaker, retryInMillis }: Breaker.Passage,
  now: number,
) => ({
  retryInMillis,
  closed: Closed.cases.BreakerOpen.make({
    breaker: name!,
    ...(key !== undefined && { key }),
    ...(retryInMillis !== undefined && { until: DateTime.makeUnsafe(now + retryInMillis) }),
    ...causeOf(breaker),
  }),
})

const limited = (retryInMillis: number, now: number) => ({
  retryInMillis,
  closed: Closed.cases.RateLimited.make({ until: DateTime.makeUnsafe(now + retryInMillis) }),
})

const causeOf = ({ order, phase }: Breaker.Breaker): { readonly cause?: string } => {
  if (order !== undefined) {
    const { by, note, to } = order
    return {
      cause: `it was ordered ${to}${by === undefined ? "" : ` by ${by}`}` +
        (note === undefined ? "" : `: ${note}`),
    }
  }
  return phase._tag === "Closed" ? {} : { cause: phase.cause }
}

/** What `take` would say, with nothing taken. */
export const look = (regulation: Regulation): Command<Permit> => (cells, now) => ({
  answer: take(regulation, 1)(cells, now).answer,
  cells,
})

/** So many of those that had a permit of this epoch do not start. */
export const giveBack =
  (regulation: Regulation, epoch: number | undefined, count: number): Command<void> =>
  (cells, now) => {
    const { rateLimit } = regulation
    const { kept, paidUntil } = opened(regulation, cells, now)
    return {
      answer: undefined,
      cells: sealed(
        regulation,
        cells,
        rateLimit === undefined ? paidUntil : RateLimit.pay(rateLimit, paidUntil, now, -count),
        kept,
        kept && Breaker.giveBack(kept.breaker, epoch ?? 0, count),
      ),
    }
  }

/** How calls went that were let through a breaker in one epoch. */
export interface Heard {
  readonly namespace: Namespace
  readonly breaker: string
  readonly key?: string | undefined
  readonly epoch: number
  readonly calls: ReadonlyArray<Breaker.Call>
}

export const hear = ({ calls, epoch, key }: Heard): Command<void> => (cells, now) => {
  const { breaker, cells: after } = keptOf(cells, key !== undefined, now)
  return { answer: undefined, cells: after(Breaker.hear(breaker, epoch, calls, now)) }
}

/** A run that may not start now asks again after at most so long, so that orders are soon heard. */
const askAgainMillis = 5_000

/** When a run that this permit lets not start asks again. */
export const postponedMillis = ({ retryInMillis = askAgainMillis }: Permit): number =>
  Math.max(1, Math.ceil(Math.min(retryInMillis, askAgainMillis)))

const changing = (
  namespace: Namespace,
  name: string,
  change: (breaker: Breaker.Breaker, now: number) => Breaker.Breaker,
): Command<Breaker.BreakerView> =>
([cell], now) => {
  const after = change(breakerOf(cell, now), now)
  return { answer: viewOf(namespace, name, after), cells: [encodeBreaker(after)] }
}

/** Gives a breaker its settings, and leaves it in the phase it is in. */
export const set = (namespace: Namespace, name: string, settings: Breaker.Settings) =>
  changing(namespace, name, (breaker) => ({ ...breaker, settings }))

export const order = (
  namespace: Namespace,
  name: string,
  to: Breaker.Order["to"] | "auto",
  words?: Words,
) => changing(namespace, name, (breaker, now) => Breaker.order(breaker, to, now, words))

/** An order that is for one key alone. */
export const orderKey = (
  namespace: Namespace,
  name: string,
  key: string,
  to: Breaker.Order["to"] | "auto",
  words?: Words,
): Command<Breaker.BreakerView> =>
([named, own], now) => {
  const whole = breakerOf(named, now)
  const after = Breaker.order(breakerOf(own, now), to, now, words)
  return {
    answer: viewOf(namespace, name, Breaker.inherit(after, whole), key),
    cells: [
      named ?? encodeBreaker(whole),
      own === undefined && Breaker.isAsNew(after) ? undefined : encodeBreaker(after),
    ],
  }
}

/** A breaker that somebody has asked, told of, or set, or one of its keys. */
export const find = (
  namespace: Namespace,
  name: string,
  key?: string,
): Command<Option.Option<Breaker.BreakerView>> =>
(cells, now) => ({
  answer: cells[0] === undefined
    ? Option.none()
    : Option.some(viewOf(namespace, name, keptOf(cells, key !== undefined, now).breaker, key)),
  cells,
})

/** As it is listed by its name. */
export const listed = (namespace: Namespace, name: string, cell: string): Breaker.BreakerView =>
  viewOf(namespace, name, decodeBreaker(cell))

/** The key of a breaker whose own cell and whose name's these are. */
export const listedKey = (
  namespace: Namespace,
  name: string,
  named: string,
  own: { readonly name: string; readonly cell: string },
): Breaker.BreakerView =>
  viewOf(
    namespace,
    name,
    Breaker.inherit(decodeBreaker(own.cell), decodeBreaker(named)),
    own.name.slice(keysPrefix(name).length),
  )

/** Pauses a group, or lets it go on. Of one that was never paused nothing is kept. */
export const orderGroup =
  (isPaused: boolean, words: Words): Command<Group.Standing> => ([cell], now) => {
    const before = standingOf(cell)
    const after = Group.order(before, isPaused, now, words)
    return { answer: after, cells: [after === before ? cell : encodeStanding(after)] }
  }

export const findGroup: Command<Group.Standing> = (cells) => ({
  answer: standingOf(cells[0]),
  cells,
})

/** A group as it is listed by its name. */
export const listedGroup = (
  { cell, name }: { readonly name: string; readonly cell: string },
): readonly [name: string, standing: Group.Standing] => [name, decodeStanding(cell)]

/** Whether the cell of a key may be let go of. */
export const isForgotten = (cell: string, now: number): boolean =>
  Breaker.isForgotten(decodeBreaker(cell), now)

const viewOf = (
  namespace: Namespace,
  name: string,
  { order, phase, settings, since }: Breaker.Breaker,
  key?: string,
): Breaker.BreakerView => {
  const heard = phase._tag === "Closed"
    ? { count: phase.present.count + phase.before.count, bad: phase.present.bad + phase.before.bad }
    : phase._tag === "HalfOpen"
    ? phase.heard
    : { count: 0, bad: 0 }
  return {
    namespace,
    name,
    ...(key !== undefined && { key }),
    settings,
    state: phase._tag,
    since: DateTime.makeUnsafe(since),
    ...(phase._tag === "Open" && order === undefined &&
      { until: DateTime.makeUnsafe(phase.until) }),
    ...(phase._tag !== "Closed" && { cause: phase.cause }),
    calls: heard.count,
    bad: heard.bad,
    ...(order !== undefined && { order: { ...order, at: DateTime.makeUnsafe(order.at) } }),
  }
}

/**
 * A permit lets runs of a task start now, whose starts are limited, or that stand behind a breaker.
 *
 * What has been decided is kept in two kinds of cells, one per limited task and one per breaker. Each
 * function here goes from what the cells of an asker are to what they shall be; an adapter sees to it
 * that no two go at once.
 */
import { DateTime, Schema } from "effect"
import * as Breaker from "./Breaker.ts"
import { Namespace } from "./Namespace.ts"
import { Policy } from "./Policy.ts"
import * as RateLimit from "./RateLimit.ts"
import { TaskName } from "./TaskName.ts"

/** What the runs of a task have to ask before they start. */
export const Regulation = Schema.Struct({
  namespace: Namespace,
  task: TaskName,
  rateLimit: Policy.fields.rateLimit,
  breaker: Policy.fields.breaker,
})
export type Regulation = typeof Regulation.Type

/** Whether the runs of such a task need a permit to start. */
export const isRegulated = ({ breaker, rateLimit }: Policy): boolean =>
  breaker !== undefined || rateLimit !== undefined

/** Nothing, if the runs of the task may start whenever there is a place. */
export const regulationOf = (
  namespace: Namespace,
  task: TaskName,
  policy: Policy,
): Regulation | undefined => {
  const { breaker, rateLimit } = policy
  return !isRegulated(policy) ? undefined : {
    namespace,
    task,
    ...(rateLimit !== undefined && { rateLimit }),
    ...(breaker !== undefined && { breaker }),
  }
}

/** Why no run may start now. */
export const Closed = Schema.TaggedUnion({
  BreakerOpen: {
    breaker: Breaker.BreakerName,
    /** Unless an operator holds it open. */
    until: Schema.optionalKey(Schema.DateTimeUtc),
    cause: Schema.optionalKey(Schema.String),
  },
  RateLimited: { until: Schema.DateTimeUtc },
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
  readonly kind: "limit" | "breaker"
  readonly name: string
}

/** JSON text; absent as long as nothing was kept. */
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

const limitKey = (task: TaskName): CellKey => ({ kind: "limit", name: task })
const breakerKey = (name: string): CellKey => ({ kind: "breaker", name })

export const keysOf = ({ breaker, rateLimit, task }: Regulation): ReadonlyArray<CellKey> => [
  ...(rateLimit === undefined ? [] : [limitKey(task)]),
  ...(breaker === undefined ? [] : [breakerKey(breaker)]),
]

/** The kept state of what regulates, in the shape that the functions here work on. */
const opened = ({ breaker, rateLimit }: Regulation, cells: ReadonlyArray<Cell>, now: number) => ({
  paidUntil: rateLimit === undefined ? now : Number(cells[0] ?? 0),
  breaker: breaker === undefined
    ? undefined
    : breakerOf(cells[rateLimit === undefined ? 0 : 1], now),
})

const sealed = (
  { rateLimit }: Regulation,
  paidUntil: number,
  breaker: Breaker.Breaker | undefined,
): ReadonlyArray<Cell> => [
  ...(rateLimit === undefined ? [] : [String(paidUntil)]),
  ...(breaker === undefined ? [] : [encodeBreaker(breaker)]),
]

/** A permit for at most `wanted`. */
export const take = (regulation: Regulation, wanted: number): Command<Permit> => (cells, now) => {
  const { rateLimit } = regulation
  const { breaker, paidUntil } = opened(regulation, cells, now)
  const affordable = rateLimit === undefined
    ? wanted
    : Math.min(wanted, RateLimit.available(rateLimit, paidUntil, now))
  const passage = breaker && Breaker.pass(breaker, affordable, now)
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
        ? behind(regulation.breaker!, passage!, now)
        : limited(RateLimit.waitMillis(rateLimit!, paid, now), now)),
    },
    cells: sealed(regulation, paid, passage?.breaker),
  }
}

const behind = (name: string, { breaker, retryInMillis }: Breaker.Passage, now: number) => ({
  retryInMillis,
  closed: Closed.cases.BreakerOpen.make({
    breaker: name,
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
    return {
      cause: `it was ordered ${order.to}${order.note === undefined ? "" : `: ${order.note}`}`,
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
    const { breaker, paidUntil } = opened(regulation, cells, now)
    return {
      answer: undefined,
      cells: sealed(
        regulation,
        rateLimit === undefined ? paidUntil : RateLimit.pay(rateLimit, paidUntil, now, -count),
        breaker && Breaker.giveBack(breaker, epoch ?? 0, count),
      ),
    }
  }

/** How calls went that were let through a breaker in one epoch. */
export interface Heard {
  readonly namespace: Namespace
  readonly breaker: string
  readonly epoch: number
  readonly calls: ReadonlyArray<Breaker.Call>
}

export const hear = ({ calls, epoch }: Heard): Command<void> => ([cell], now) => ({
  answer: undefined,
  cells: [encodeBreaker(Breaker.hear(breakerOf(cell, now), epoch, calls, now))],
})

export const ofBreaker = (name: string): ReadonlyArray<CellKey> => [breakerKey(name)]

const changing = (
  namespace: Namespace,
  name: string,
  change: (breaker: Breaker.Breaker, now: number) => Breaker.Breaker,
): Command<Breaker.BreakerView> =>
([cell], now) => {
  const text = encodeBreaker(change(breakerOf(cell, now), now))
  return { answer: viewOf(namespace, name, text), cells: [text] }
}

/** Gives a breaker its settings, and leaves it in the phase it is in. */
export const set = (namespace: Namespace, name: string, settings: Breaker.Settings) =>
  changing(namespace, name, (breaker) => ({ ...breaker, settings }))

export const order = (
  namespace: Namespace,
  name: string,
  to: Breaker.Order["to"] | "auto",
  note?: string,
) => changing(namespace, name, (breaker, now) => Breaker.order(breaker, to, now, note))

export const viewOf = (namespace: Namespace, name: string, cell: string): Breaker.BreakerView => {
  const { order, phase, settings, since } = decodeBreaker(cell)
  const heard = phase._tag === "Closed"
    ? { count: phase.present.count + phase.before.count, bad: phase.present.bad + phase.before.bad }
    : phase._tag === "HalfOpen"
    ? phase.heard
    : { count: 0, bad: 0 }
  return {
    namespace,
    name,
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

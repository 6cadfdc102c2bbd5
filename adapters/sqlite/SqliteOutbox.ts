/** The outbox in SQLite: see `OutboxStorage` for the laws. */
import * as Ends from "../../core/domain/Ends.ts"
import type { EventId } from "../../core/domain/Following.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { partition, type Subscription } from "../../core/domain/Outbox.ts"
import { finals } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import type { OutboxEvent, OutboxStorage } from "../../core/services/OutboxStorage.ts"
import { ofOutbox } from "../../core/services/Wakeups.ts"
import type { Database, Transaction } from "./Database.ts"

const listed = 10_000

export const make = (db: Database): OutboxStorage => ({
  subscribe: (subscription) => db.write("subscribe", (tx) => subscribe(tx, subscription)),
  unsubscribe: (of) => db.write("unsubscribe", (tx) => unsubscribe(tx, of)),
  subscriptions: (namespace) =>
    db.read("subscriptions", () =>
      db.all<SubscriptionRow>(
        `SELECT consumer, name, kind.task, ends, missed FROM subscription
         JOIN kind ON kind.id = subscription.kind
         WHERE subscription.namespace = ? ORDER BY consumer, name LIMIT ${listed}`,
        namespace,
      ).map(({ ends, ...row }) => ({ namespace, ...row, on: Ends.ofBits(ends) }))),
  take: (request) => db.write("take", (tx) => take(tx, request)),
  done: (handed) =>
    db.write(
      "done",
      () =>
        handed.flatMap(({ event, hand }) =>
          db.run("DELETE FROM outbox WHERE id = ? AND hand = ?", event, hand).changes === 1
            ? [event]
            : []
        ),
    ),
})

interface SubscriptionRow extends Pick<Subscription, "consumer" | "name" | "task"> {
  readonly ends: number
  readonly missed: number
}

export const subscribe = (tx: Transaction, subscription: Subscription): void => {
  const { consumer, name, namespace, on, task } = subscription
  tx.db.run(
    `INSERT INTO subscription (namespace, consumer, name, partition, kind, ends)
     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, consumer, name)
     DO UPDATE SET kind = excluded.kind, ends = excluded.ends`,
    namespace,
    consumer,
    name,
    partition(subscription),
    tx.db.kindOf(namespace, task),
    Ends.bitsOf(on),
  )
  tx.watched.clear()
}

/** Its events are dropped by whoever comes across them. */
export const unsubscribe = (
  tx: Transaction,
  { consumer, name, namespace }: Pick<Subscription, "namespace" | "consumer" | "name">,
): boolean => {
  tx.watched.clear()
  return tx.db.run(
    "DELETE FROM subscription WHERE namespace = ? AND consumer = ? AND name = ?",
    namespace,
    consumer,
    name,
  ).changes === 1
}

const anySubscription = "SELECT 1 FROM subscription LIMIT 1"

/** The ends of this kind that somebody is told of, as bits. Without subscriptions one look tells. */
export const watchedEnds = ({ db, watched }: Transaction, kind: number): number => {
  if (watched.isAny === undefined) watched.isAny = db.get(anySubscription) !== undefined
  if (!watched.isAny) return 0
  const known = watched.ends.get(kind)
  if (known !== undefined) return known
  const rows = db.all<{ ends: number }>("SELECT ends FROM subscription WHERE kind = ?", kind)
  const ends = rows.reduce((bits, row) => bits | row.ends, 0)
  watched.ends.set(kind, ends)
  return ends
}

const tellOf = `
  INSERT INTO outbox (subscription, consumer, partition, run, state, fence, attempt, at, failure)
  SELECT subscription.id, subscription.consumer, subscription.partition, run, outcome.state, fence,
    attempt, finished_at, failure
  FROM outcome CROSS JOIN subscription ON subscription.kind = outcome.kind
    AND subscription.ends & (1 << outcome.state) <> 0
  WHERE outcome.run = ?1 AND NOT EXISTS (SELECT 1 FROM child WHERE child.run = ?1)`

/** Tells that the run has ended, which its outcome says, if anybody is subscribed to that. */
export const tell = (tx: Transaction, run: RunId, kind: number, state: number): void => {
  if ((watchedEnds(tx, kind) & 1 << state) === 0) return
  if (tx.db.run(tellOf, run).changes > 0) tx.hint(ofOutbox)
}

interface EventRow {
  readonly id: EventId
  readonly namespace: Namespace | null
  readonly name: string
  readonly run: RunId
  readonly task: TaskName
  readonly state: number
  readonly fence: OutboxEvent["fence"]
  readonly attempt: number
  readonly at: number
  readonly hand: number
  readonly failure: string | null
}

/** A lease of an event is no longer: one that seems so was given before the clock was set back. */
const heldMillisMax = 3_600_000

const columns = `
  outbox.id, subscription.namespace, subscription.name, outbox.run, kind.task, outbox.state,
  outbox.fence, outbox.attempt, outbox.at, outbox.hand, outbox.failure`

/** The next of each run; of those of subscriptions that are gone too. */
const next = (which: string) => `
  SELECT ${columns}
  FROM outbox LEFT JOIN subscription ON subscription.id = outbox.subscription
    JOIN run ON run.id = outbox.run JOIN kind ON kind.id = run.kind
  WHERE outbox.consumer = ? AND outbox.partition = ? AND ${which}
    AND NOT EXISTS (SELECT 1 FROM outbox AS before WHERE before.run = outbox.run
      AND before.subscription = outbox.subscription AND before.id < outbox.id)
  ORDER BY outbox.held_until, outbox.id LIMIT ?`
const nextFree = next("outbox.held_until <= ?")
const nextStuck = next("outbox.held_until > ?")

/** What this taker took and still has. */
const taken = (which: string) => `
  SELECT ${columns}
  FROM outbox LEFT JOIN subscription ON subscription.id = outbox.subscription
    JOIN run ON run.id = outbox.run JOIN kind ON kind.id = run.kind
  WHERE outbox.taker = ?1 AND outbox.consumer = ?3
    AND outbox.partition IN (SELECT value FROM json_each(?4)) AND ${which}
  ORDER BY outbox.id LIMIT ?5`
const takenInRound = taken("outbox.round = ?2")
/** What nobody holds any more is among what is free. */
const takenBefore = taken("outbox.round < ?2 AND outbox.held_until BETWEEN ?6 AND ?7")

const anyEvent = "SELECT 1 FROM outbox WHERE consumer = ? LIMIT 1"

type Request = Parameters<OutboxStorage["take"]>[0]

const take = (tx: Transaction, request: Request): ReadonlyArray<OutboxEvent> => {
  const { db, now } = tx
  const { consumer, forMillis, limit, partitions, round, taker } = request
  // One look for all partitions, which is all that most ever cost: they are taken from each second.
  if (db.get(anyEvent, consumer) === undefined) return []
  const until = now + Math.min(forMillis, heldMillisMax)
  const of = [taker, round, consumer, JSON.stringify(partitions), limit] as const
  const again = db.all<EventRow>(takenInRound, ...of)
  const rows = again.length > 0 ? again : nextOf(tx, request, of)
  return rows.flatMap((row) => {
    if (row.namespace === null) {
      db.run("DELETE FROM outbox WHERE id = ?", row.id)
      return []
    }
    const hand = again.length > 0 ? row.hand : row.hand + 1
    db.run(hold, until, hand, taker, round, row.id)
    return [eventOf({ ...row, namespace: row.namespace, hand })]
  })
}

const hold = "UPDATE outbox SET held_until = ?, hand = ?, taker = ?, round = ? WHERE id = ?"

const nextOf = (
  { db, now }: Transaction,
  { consumer, limit, partitions }: Request,
  of: ReadonlyArray<string | number>,
): ReadonlyArray<EventRow> => {
  const latest = now + heldMillisMax
  const found = [...new Set(partitions)].flatMap((partition) => [
    ...db.all<EventRow>(nextFree, consumer, partition, now, limit),
    ...db.all<EventRow>(nextStuck, consumer, partition, latest, limit),
  ])
  return [...found, ...db.all<EventRow>(takenBefore, ...of, now + 1, latest)]
    .sort((a, b) => a.id - b.id).slice(0, limit)
}

const eventOf = (
  { failure, id, state, ...row }: EventRow & { readonly namespace: Namespace },
): OutboxEvent => ({
  ...row,
  event: id,
  state: finals[state]!,
  ...(failure !== null && { failure: JSON.parse(failure) as Failure }),
})

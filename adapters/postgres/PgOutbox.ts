/** The outbox in PostgreSQL: see `OutboxStorage` for the laws. */
import { Effect } from "effect"
import * as Ends from "../../core/domain/Ends.ts"
import type { EventId } from "../../core/domain/Following.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { type Consumer, partition } from "../../core/domain/Outbox.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import type { OutboxEvent, OutboxStorage } from "../../core/services/OutboxStorage.ts"
import { numbers, type Pg, type Row } from "./Pg.ts"
import type { Look, PgLooks } from "./PgLooks.ts"
import type { PgNames } from "./PgNames.ts"
import { decodeFailure, stateOf } from "./rows.ts"

const listed = 10_000
/** A lease of an event is no longer: one that seems so was given before the clock was set back. */
const heldMillisMax = 3_600_000

export const make = (pg: Pg, names: PgNames, looks: PgLooks): OutboxStorage => ({
  subscribe: Effect.fnUntraced(function* (subscription) {
    const { consumer, name, namespace, on, task } = subscription
    const of = yield* names.namespace(namespace)
    const [number] = yield* names.taskNumbers([{ namespace, task }])
    yield* pg.query(
      "writes",
      "subscribe",
      "SELECT subscribe($1, $2, $3, $4, $5, $6, NULL)",
      [of, consumer, name, partition(subscription), number, Ends.bitsOf(on)],
    )
  }),

  unsubscribe: Effect.fnUntraced(function* ({ consumer, name, namespace }) {
    const of = yield* names.namespace(namespace)
    const [row] = yield* pg.query<{ was_there: boolean }>(
      "writes",
      "unsubscribe",
      "SELECT unsubscribe($1, $2, $3) AS was_there",
      [of, consumer, name],
    )
    return row!.was_there
  }),

  subscriptions: (namespace) =>
    Effect.map(
      pg.query<SubscriptionRow>("reads", "subscriptions", selectSubscriptions, [namespace]),
      (rows) =>
        rows.map(({ consumer, missed, name, states, task }) => ({
          namespace,
          consumer,
          name,
          task,
          on: Ends.ofBits(states),
          missed,
        })),
    ),

  take: Effect.fnUntraced(function* ({ consumer, forMillis, limit, partitions, round, taker }) {
    // Mostly there is none, and to look costs a tenth of taking none.
    const { has_events } = yield* looks<{ has_events: boolean }>(anyOf(consumer))
    if (!has_events) return []
    const rows = yield* pg.query<EventRow>("writes", "take", takeNext, [
      consumer,
      numbers(partitions),
      limit,
      `${Math.min(Math.ceil(forMillis), heldMillisMax)}`,
      `${taker}`,
      round,
    ])
    return rows.map(eventOf)
  }),

  done: (handed) =>
    handed.length === 0 ? Effect.succeed([]) : Effect.map(
      pg.query<{ id: EventId }>(
        "writes",
        "done",
        `DELETE FROM outbox o USING unnest($1::bigint[], $2::int[]) AS u(id, hand)
         WHERE o.id = u.id AND o.hand = u.hand RETURNING o.id::float8 AS id`,
        [numbers(handed.map(({ event }) => event)), numbers(handed.map(({ hand }) => hand))],
      ),
      (rows) => rows.map(({ id }) => id),
    ),
})

interface SubscriptionRow extends Row {
  readonly consumer: Consumer
  readonly name: string
  readonly task: TaskName
  readonly states: number
  readonly missed: number
}

const selectSubscriptions = `
  SELECT s.consumer, s.name, t.name AS task, s.states, s.missed::float8 AS missed
  FROM subscription s JOIN task t ON t.id = s.task
  WHERE s.namespace = (SELECT id FROM namespace WHERE name = $1)
  ORDER BY s.consumer COLLATE "C", s.name COLLATE "C" LIMIT ${listed}`

interface EventRow extends Row {
  readonly id: EventId
  readonly hand: number
  readonly namespace: Namespace
  readonly name: string
  readonly run: RunId
  readonly task: TaskName
  readonly state: number
  readonly fence: OutboxEvent["fence"]
  readonly attempt: number
  readonly at: number
  readonly failure: string | null
}

const eventOf = ({ failure, id, state, ...row }: EventRow): OutboxEvent => ({
  event: id,
  hand: row.hand,
  namespace: row.namespace,
  name: row.name,
  run: row.run,
  task: row.task,
  state: stateOf(state),
  fence: row.fence,
  attempt: row.attempt,
  at: row.at,
  ...(failure !== null && { failure: decodeFailure(failure) }),
})

/** The next of each run that nobody holds, in one partition; of those of no subscription too. */
const next = (held: string) => `
  (SELECT e.id, e.subscription FROM outbox e
    WHERE e.consumer = $1 AND e.partition = p.partition AND e.held_until ${held}
      AND NOT EXISTS (SELECT FROM again)
      AND NOT EXISTS (SELECT FROM outbox b
        WHERE b.run_id = e.run_id AND b.subscription = e.subscription AND b.id < e.id)
    ORDER BY e.held_until, e.id LIMIT $3 FOR UPDATE SKIP LOCKED)`

const anyOf = (consumer: Consumer): Look => ({
  name: "take",
  columns: (first) => `EXISTS (SELECT FROM outbox WHERE consumer = $${first}) AS has_events`,
  params: () => [consumer],
})

/** `$1` consumer, `$2` partitions, `$3` limit, `$4` for how long, `$5` taker, `$6` round. */
const takeNext = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  again AS MATERIALIZED (
    SELECT e.id FROM outbox e
    WHERE e.taker = $5::bigint AND e.round = $6::int AND e.consumer = $1
      AND e.partition = ANY ($2::smallint[])
      AND EXISTS (SELECT FROM subscription s WHERE s.id = e.subscription)
    ORDER BY e.id LIMIT $3 FOR UPDATE),
  free AS MATERIALIZED (
    SELECT o.* FROM unnest($2::smallint[]) AS p(partition) CROSS JOIN LATERAL ${
  next("<= (SELECT ms FROM now)")
} o),
  stuck AS MATERIALIZED (
    SELECT o.* FROM unnest($2::smallint[]) AS p(partition) CROSS JOIN LATERAL ${
  next(`> (SELECT ms FROM now) + ${heldMillisMax}`)
} o),
  of_earlier AS MATERIALIZED (
    SELECT e.id, e.subscription FROM outbox e
    WHERE e.taker = $5::bigint AND e.round < $6::int AND e.consumer = $1
      AND e.partition = ANY ($2::smallint[]) AND NOT EXISTS (SELECT FROM again)
    ORDER BY e.id LIMIT $3 FOR UPDATE SKIP LOCKED),
  first AS MATERIALIZED (
    SELECT u.id, s.id IS NULL AS is_orphan
    FROM (
      SELECT * FROM free UNION SELECT * FROM stuck UNION SELECT * FROM of_earlier
      ORDER BY id LIMIT $3) u
    LEFT JOIN subscription s ON s.id = u.subscription),
  gone AS (DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM first WHERE is_orphan))),
  handed AS (
    UPDATE outbox SET held_until = (SELECT ms FROM now) + $4::bigint, taker = $5::bigint,
      round = $6::int, hand = CASE WHEN EXISTS (SELECT FROM again) THEN hand ELSE hand + 1 END
    WHERE id = ANY (ARRAY(
      SELECT id FROM again UNION ALL SELECT id FROM first WHERE NOT is_orphan)) RETURNING *)
  SELECT h.id::float8 AS id, h.hand, n.name AS namespace, s.name, h.run_id::float8 AS run,
    t.name AS task, h.state, h.fence, h.attempt, h.at::float8 AS at, h.failure
  FROM handed h JOIN subscription s ON s.id = h.subscription
    JOIN namespace n ON n.id = s.namespace
    JOIN task t ON t.id = (SELECT r.task FROM run r WHERE r.id = h.run_id)
  ORDER BY h.id`

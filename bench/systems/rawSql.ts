/**
 * The limit: what PostgreSQL gives when one statement settles the last batch and claims the next,
 * with fences, attempts and history, and the rows the product writes: `run` once, narrow `ready`
 * and `lease` rows that come and go, one `outcome` that ends it. There is no scheduler around it:
 * no beats, no retries, no wake-ups.
 */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import {
  batches,
  type Blocking,
  keyOf,
  laneOf,
  levelOf,
  type Load,
  type Payload,
  payloadOf,
  type Prepared,
  type System,
} from "../System.ts"
import type { Witness } from "../Witness.ts"
import { ownVersion } from "./versions.ts"

/** Statistics of a queue say "empty"; these leave the planner the one plan that is always right. */
export const pinnedPlans =
  "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off -c enable_hashjoin=off " +
  "-c enable_mergejoin=off -c jit=off"

export const schema: ReadonlyArray<string> = [
  `CREATE TABLE run (
    id bigint PRIMARY KEY, task int NOT NULL, lane int NOT NULL, level smallint NOT NULL, gate int,
    attempts_max smallint NOT NULL, payload jsonb NOT NULL, submitted_at timestamptz NOT NULL)`,
  `CREATE TABLE ready (
    lane int, level smallint, rank timestamptz, id bigint, gate int, attempt smallint NOT NULL,
    fence int NOT NULL, PRIMARY KEY (lane, level, rank, id))`,
  `CREATE TABLE lease (
    id bigint PRIMARY KEY, incarnation int NOT NULL, loop smallint NOT NULL, round int NOT NULL,
    lane int NOT NULL, gate int, attempt smallint NOT NULL, fence int NOT NULL,
    started_at timestamptz NOT NULL)`,
  `CREATE TABLE outcome (
    id bigint, attempt smallint, state smallint NOT NULL, fence int NOT NULL,
    incarnation int NOT NULL, lane int NOT NULL, started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL, result jsonb, PRIMARY KEY (id, attempt))`,
  `CREATE TABLE gate (key int PRIMARY KEY, places int NOT NULL)`,
  `CREATE TABLE blocked (
    gate int, seq bigint, id bigint NOT NULL, lane int NOT NULL, level smallint NOT NULL,
    rank timestamptz NOT NULL, PRIMARY KEY (gate, seq))`,
  `CREATE INDEX ready_gate ON ready (gate) WHERE gate IS NOT NULL`,
  `CREATE INDEX lease_gate ON lease (gate) WHERE gate IS NOT NULL`,
]

/** The first runs of one lane, in order: one index scan, stopped after as many as are asked for. */
const firstOf = (lane: string): string =>
  `(SELECT ctid AS at, level, rank, id FROM ready WHERE lane = ${lane}
    ORDER BY level, rank, id LIMIT $4 * 2)`

/**
 * The best `$4` ready runs of the lanes `$7…`, locked. One lane is one ordered index scan. Several
 * are merged, each read only as far as it wins (a MergeAppend, for which every arm must carry its
 * own ORDER BY). Only winners are locked, and twice as many are looked at as are wanted, because
 * another loop may hold the first half.
 */
const winners = (lanes: number): string => {
  if (lanes === 1) {
    return `SELECT ctid FROM ready WHERE lane = $7 ORDER BY lane, level, rank, id
      LIMIT $4 FOR UPDATE SKIP LOCKED`
  }
  const arms = Array.from({ length: lanes }, (_, i) => firstOf(`$${7 + i}`))
    .join(" UNION ALL ")
  return `SELECT r.ctid FROM (
      SELECT at FROM (${arms}) AS lane ORDER BY level, rank, id LIMIT $4 * 2) AS best
    JOIN ready r ON r.ctid = best.at LIMIT $4 FOR UPDATE OF r SKIP LOCKED`
}

/**
 * Settles `$1` (ids, ascending) if their fences are still `$2`, and claims up to `$4` more.
 * `width_bucket` finds the place of an id in the sorted array by bisection, so a fence costs no
 * join.
 */
export const claim = (lanes: number): string =>
  `WITH settled AS (
     DELETE FROM lease WHERE id = ANY ($1::bigint[]) AND incarnation = $3
       AND fence = ($2::int[])[width_bucket(id, $1::bigint[])]
     RETURNING id, attempt, fence, lane, started_at),
   ended AS (
     INSERT INTO outcome (id, attempt, state, fence, incarnation, lane, started_at, finished_at)
     SELECT id, attempt, 0, fence, $3, lane, started_at, clock_timestamp() FROM settled),
   taken AS (
     DELETE FROM ready WHERE ctid = ANY (ARRAY(${winners(lanes)}))
     RETURNING id, lane, gate, attempt + 1 AS attempt, fence + 1 AS fence),
   leased AS (
     INSERT INTO lease (id, incarnation, loop, round, lane, gate, attempt, fence, started_at)
     SELECT id, $3, $5, $6, lane, gate, attempt, fence, now() FROM taken)
   SELECT taken.id, taken.fence, taken.gate, run.payload, run.attempts_max
   FROM taken CROSS JOIN LATERAL (
     SELECT payload, attempts_max FROM run WHERE id = taken.id OFFSET 0) AS run
   ORDER BY taken.id`

/**
 * Moves blocked runs of the gates `$1` to ready, as many as have a place. Gates are locked in key
 * order; holders are counted from rows. An older snapshot than the lock cannot admit too many: what
 * another admission took meanwhile is a prefix of what this one picks, and is skipped.
 */
export const admit = `WITH locked AS MATERIALIZED (
     SELECT key, places FROM gate WHERE key = ANY ($1::int[]) ORDER BY key FOR UPDATE),
   admitted AS (
     DELETE FROM blocked WHERE ctid = ANY (ARRAY(
       SELECT heads.at FROM locked CROSS JOIN LATERAL (
         SELECT ctid AS at FROM blocked WHERE gate = locked.key ORDER BY gate, seq
         LIMIT greatest(0, locked.places
           - (SELECT count(*) FROM ready WHERE gate = locked.key)
           - (SELECT count(*) FROM lease WHERE gate = locked.key))) AS heads))
     RETURNING id, lane, level, rank, gate),
   opened AS (
     INSERT INTO ready (lane, level, rank, id, gate, attempt, fence)
     SELECT lane, level, rank, id, gate, 0, 0 FROM admitted)
   SELECT count(*)::int AS admitted FROM admitted`

const fillRuns = `INSERT INTO run (id, task, lane, level, gate, attempts_max, payload, submitted_at)
  SELECT id, 1, lane, level, nullif(gate, -1), 3, payload::jsonb, now()
  FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::text[])
    AS job (id, lane, level, gate, payload)`

const fillReady = `INSERT INTO ready (lane, level, rank, id, gate, attempt, fence)
  SELECT lane, level, submitted_at + id * interval '1 microsecond', id, gate, 0, 0 FROM run
  WHERE gate IS NULL`

const fillBlocked = `INSERT INTO blocked (gate, seq, id, lane, level, rank)
  SELECT gate, id, id, lane, level, submitted_at FROM run WHERE gate IS NOT NULL`

const fillGates = `INSERT INTO gate (key, places) SELECT DISTINCT gate, $1::int FROM run
  WHERE gate IS NOT NULL`

interface Claimed {
  readonly id: bigint
  readonly fence: number
  readonly gate: number | null
  readonly payload: Payload
}

const batchSize = 200
const incarnation = 7
const loops = 2

const placesOf = (blocking: Blocking): number => blocking.policy === "fifo" ? 1 : blocking.places

/** One claim loop on its own connection. */
const loop = Effect.fnUntraced(function* (
  connection: PgConnection.PgConnection,
  number: number,
  load: Load,
  witness: Witness,
) {
  const lanes = Array.from({ length: load.lanes }, (_, lane) => lane)
  const statement = claim(load.lanes)
  let held: ReadonlyArray<Claimed> = []
  for (let round = 1;; round++) {
    const ids = held.map((run) => run.id)
    const fences = held.map((run) => run.fence)
    const gates = [...new Set(held.flatMap((run) => run.gate ?? []))]
    const { rows } = yield* connection.query(
      statement,
      [ids, fences, incarnation, batchSize, number, round, ...lanes],
    )
    held = rows as unknown as ReadonlyArray<Claimed>
    if (gates.length > 0) yield* connection.query(admit, [gates])
    // Nothing claimed is no proof of nothing ready: all that was looked at may have been taken by
    // the other loop since the snapshot. So no loop ends by itself; the harness ends it.
    else if (held.length === 0) yield* Effect.sleep("2 millis")
    for (const { payload } of held) witness.begin(payload)
    // Another loop must be able to come in between, or an overlap within a key could not be seen.
    if (load.blocking !== undefined) yield* Effect.yieldNow
    for (const { payload } of held) witness.end(payload)
  }
})

const prepare: System["prepare"] = Effect.fnUntraced(
  function* ({ databaseUrl }) {
    const connect = PgConnection.make({
      url: Redacted.make(databaseUrl),
      startupOptions: pinnedPlans,
    })
    const control = yield* connect
    const claimers = yield* Effect.all(
      Array.from({ length: loops }, () => connect),
    )
    for (const statement of schema) {
      yield* control.query(statement)
    }
    let filled: Load = { jobs: 0, lanes: 1, levels: 1 }
    return {
      fill: Effect.fnUntraced(function* (load) {
        filled = load
        for (const batch of batches(load)) {
          yield* control.query(fillRuns, [
            batch,
            batch.map((n) => laneOf(n, load)),
            batch.map((n) => levelOf(n, load)),
            batch.map((n) => load.blocking === undefined ? -1 : keyOf(n, load)),
            batch.map((n) => JSON.stringify(payloadOf(n, load))),
          ])
        }
        yield* control.query(fillReady)
        if (load.blocking === undefined) return
        yield* control.query(fillBlocked)
        yield* control.query(fillGates, [placesOf(load.blocking)])
        yield* control.query(admit, [
          Array.from({ length: load.blocking.keys }, (_, key) => key),
        ])
      }),
      drain: (witness) =>
        Effect.forEach(
          claimers,
          (connection, i) => loop(connection, i, filled, witness),
          { concurrency: "unbounded", discard: true },
        ),
      unfinished: Effect.map(
        control.query(
          `SELECT EXISTS (SELECT 1 FROM ready) OR EXISTS (SELECT 1 FROM lease)
           OR EXISTS (SELECT 1 FROM blocked) AS unfinished`,
        ),
        ({ rows }) => rows[0]?.["unfinished"] === true,
      ),
    } satisfies Prepared
  },
)

export const rawSql: ReadonlyArray<System> = [{
  name: "raw SQL",
  version: `@effect/sql-pg ${ownVersion("@effect/sql-pg")}`,
  settings: "limit",
  store: "postgres",
  note:
    `fused settle and claim of ${batchSize}, ${loops} loops on ${loops} connections, pinned plans`,
  refuses: () => undefined,
  prepare,
}]

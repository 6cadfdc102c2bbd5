/** Executors in SQLite: see `ExecutorStorage` for the laws. */
import { DateTime } from "effect"
import {
  capacityOf,
  type ExecutorView,
  type Incarnation,
  type Joining,
  type Standing,
  type Vitals,
} from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { PoolSizes } from "../../core/domain/PoolSizes.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import type {
  Beaten,
  ExecutorStorage,
  Held,
  Revocation,
} from "../../core/services/ExecutorStorage.ts"
import type { Database, Transaction } from "./Database.ts"
import { leave } from "./SqliteEndings.ts"
import { define } from "./SqliteTasks.ts"

/** Those gone for longer are not listed. */
const goneMillis = 3_600_000
/** Rows of gone executors give finished runs the name of their holder, for about as long. */
const namedMillis = 400 * 86_400_000
/** Whoever is here is listed, and of those gone no more than come after so many. */
const goneListed = 1000

/** How an executor stands, whether or not a sweep has noticed. */
export const standingOf = (
  { db, now }: Transaction,
  incarnation: Incarnation,
): Standing | undefined => {
  const row = db.get<{ standing: Standing; ends_at: number }>(
    "SELECT standing, ends_at FROM executor WHERE incarnation = ?",
    incarnation,
  )
  return row && standingAt(row, now)
}

const standingAt = (row: { standing: Standing; ends_at: number }, now: number): Standing => {
  const isHere = row.standing === "live" || row.standing === "draining"
  return isHere && row.ends_at <= now ? "lost" : row.standing
}

export const make = (db: Database): ExecutorStorage => ({
  join: (joining) => db.write("join", (tx) => join(tx, joining)),
  serve: (incarnation, definitions) =>
    db.write("serve", (tx) => {
      define(tx, definitions)
      const tasks = JSON.stringify(definitions.map(({ name }) => name))
      tx.db.run(
        `UPDATE executor SET tasks = ? WHERE incarnation = ? AND ${isHere}`,
        tasks,
        incarnation,
        tx.now,
      )
    }),
  beat: (incarnation, held, vitals, endings) =>
    db.write("beat", (tx) => {
      const beaten = beat(tx, incarnation, held, vitals)
      if (endings !== undefined && beaten._tag === "Alive") leave(tx, incarnation, endings)
      return beaten
    }),
  resize: (namespace, incarnation, sizes) =>
    db.write("resize", ({ db, now }) =>
      db.run(
        `UPDATE executor SET sizes = ? WHERE namespace = ? AND incarnation = ? AND ${isHere}`,
        JSON.stringify(sizes),
        namespace,
        incarnation,
        now,
      ).changes === 1),
  drain: (incarnation) =>
    db.write("drain", (tx) => {
      tx.db.run(
        `UPDATE executor SET standing = 'draining' WHERE incarnation = ? AND ${isHere}`,
        incarnation,
        tx.now,
      )
    }),
  leave: (incarnation) =>
    db.write("leave", (tx) => {
      tx.db.run(
        `UPDATE executor SET standing = 'left', ends_at = ?2 WHERE incarnation = ?1
         AND standing IN ('live', 'draining') AND ends_at > ?2`,
        incarnation,
        tx.now,
      )
    }),
  list: (namespace) => db.read("list executors", () => list(db, namespace)),
})

const isHere = "standing IN ('live', 'draining') AND ends_at > ?"

const join = ({ db, now }: Transaction, joining: Joining): Incarnation => {
  db.run("DELETE FROM executor WHERE may_hold = 0 AND ends_at < ?", now - namedMillis)
  return db.get<{ incarnation: Incarnation }>(
    `INSERT INTO executor (namespace, name, standing, capacity, labels, tasks, ttl_millis,
       joined_at, beat_at, ends_at, may_hold, resources)
     VALUES (?1, ?2, 'live', ?3, ?4, '[]', ?5, ?6, ?6, ?6 + ?5, 1, ?7)
     RETURNING incarnation`,
    joining.namespace,
    joining.name,
    joining.capacity,
    JSON.stringify(joining.labels),
    joining.ttlMillis,
    now,
    JSON.stringify(joining.resources ?? {}),
  )!.incarnation
}

const beat = (
  { db, now }: Transaction,
  incarnation: Incarnation,
  known: Held,
  vitals: Vitals | undefined,
): Beaten => {
  const beaten = db.get<{ sizes: string | null }>(
    `UPDATE executor SET beat_at = ?2, ends_at = ?2 + ttl_millis, vitals = coalesce(?3, vitals)
     WHERE incarnation = ?1 AND standing IN ('live', 'draining') AND ends_at > ?2
     RETURNING sizes`,
    incarnation,
    now,
    vitals === undefined ? null : JSON.stringify(vitals),
  )
  if (beaten === undefined) return { _tag: "Lost" }
  // As `held` of `ExecutorStorage` sums up.
  const kept = db.get<Held>(
    `SELECT count(*) AS count, coalesce(sum((run % 1000003) * (fence % 1009)), 0) AS digest
     FROM lease WHERE incarnation = ?`,
    incarnation,
  )!
  const revoked = db.all<{ run: RunId; fence: Fence; is_suspending: number }>(
    `SELECT run, fence, is_suspending FROM lease
     WHERE incarnation = ? AND (is_cancelling = 1 OR is_suspending = 1) ORDER BY run`,
    incarnation,
  )
  return {
    _tag: "Alive",
    revoked: revoked.map(({ fence, is_suspending, run }): Revocation => ({
      run,
      fence,
      ...(is_suspending === 1 && { isSuspending: true }),
    })),
    isAgreed: kept.count === known.count && kept.digest === known.digest,
    ...(beaten.sizes !== null && { sizes: JSON.parse(beaten.sizes) as PoolSizes }),
  }
}

interface ExecutorRow {
  readonly incarnation: Incarnation
  readonly name: ExecutorView["name"]
  readonly standing: Standing
  readonly capacity: number
  readonly labels: string
  readonly resources: string
  readonly tasks: string
  readonly joined_at: number
  readonly beat_at: number
  readonly ends_at: number
  readonly held: number
  readonly vitals: string | null
}

const list = (db: Database, namespace: Namespace): ReadonlyArray<ExecutorView> => {
  const now = db.now()
  return db.all<ExecutorRow>(
    `SELECT incarnation, name, standing, capacity, labels, resources, tasks, joined_at, beat_at,
       ends_at, vitals,
       (SELECT count(*) FROM lease WHERE lease.incarnation = executor.incarnation) AS held
     FROM executor WHERE namespace = ?1 AND ends_at > ?2 AND (
       (standing IN ('live', 'draining') AND ends_at > ?3) OR
       incarnation > coalesce((SELECT incarnation FROM executor
         WHERE namespace = ?1 AND ends_at > ?2
         ORDER BY incarnation DESC LIMIT 1 OFFSET ${goneListed}), 0))
     ORDER BY incarnation DESC`,
    namespace,
    now - goneMillis,
    now,
  ).map((row) => {
    const vitals = row.vitals === null ? undefined : JSON.parse(row.vitals) as Vitals
    return {
      incarnation: row.incarnation,
      namespace,
      name: row.name,
      standing: standingAt(row, now),
      capacity: capacityOf(row.capacity, vitals),
      labels: JSON.parse(row.labels) as Record<string, string>,
      resources: JSON.parse(row.resources) as Record<string, number>,
      tasks: JSON.parse(row.tasks) as ReadonlyArray<TaskName>,
      held: row.held,
      ...(vitals !== undefined && { vitals }),
      joinedAt: DateTime.makeUnsafe(row.joined_at),
      beatAt: DateTime.makeUnsafe(row.beat_at),
    }
  })
}

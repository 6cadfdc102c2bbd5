/** Locks in SQLite: see `Lock` for the laws. */
import { Duration, Effect, Latch, Option } from "effect"
import { type Fence, Lease, type LockKey } from "../../core/domain/Lease.ts"
import { LeaseLost, Lock } from "../../core/services/Lock.ts"
import type { Database, Transaction } from "./Database.ts"
import type { Neighbours } from "./Neighbours.ts"

export const make = (db: Database, neighbours: Neighbours): Lock["Service"] => {
  const watched = new Map<string, Latch.Latch>()

  const release = (key: string) => {
    watched.get(key)?.openUnsafe()
    watched.delete(key)
  }
  db.listeners.add((_, released) => released.forEach(release))
  // Another process may have released any of them; a watch may return for no reason.
  neighbours.listeners.add(() => [...watched.keys()].forEach(release))

  return Lock.of({
    acquire: (key, holder, ttl) =>
      db.write("acquire", (tx) => acquire(tx, key, holder, Duration.toMillis(ttl))),
    renew: (lease, ttl) =>
      Effect.flatMap(
        db.write("renew", (tx) => renew(tx, lease, Duration.toMillis(ttl))),
        (isCurrent) => isCurrent ? Effect.void : Effect.fail(new LeaseLost({ lease })),
      ),
    release: (lease) =>
      db.write("release", (tx) => {
        const { changes } = tx.db.run(
          "UPDATE lock SET expires_at = ?1 WHERE key = ?2 AND fence = ?3 AND expires_at > ?1",
          tx.now,
          lease.key,
          lease.fence,
        )
        if (changes === 1) tx.released.add(lease.key)
      }),
    watch: (key) =>
      Effect.suspend(() => {
        const latch = watched.get(key) ?? Latch.makeUnsafe()
        watched.set(key, latch)
        return neighbours.whileWaiting(latch.await)
      }),
  })
}

const acquire = (
  { db, now }: Transaction,
  key: LockKey,
  holder: string,
  ttlMillis: number,
): Option.Option<Lease> => {
  // A live row conflicts without an update, which returns no row (L1).
  const row = db.get<{ fence: Fence }>(
    `INSERT INTO lock VALUES (?1, ?2, 1, ?4, ?3 + ?4) ON CONFLICT (key) DO UPDATE
     SET holder = excluded.holder, fence = fence + 1, ttl_millis = excluded.ttl_millis,
       expires_at = excluded.expires_at
     WHERE lock.expires_at <= ?3
     RETURNING fence`,
    key,
    holder,
    now,
    Math.ceil(ttlMillis),
  )
  return row === undefined
    ? Option.none()
    : Option.some(new Lease({ key, holder, fence: row.fence }))
}

const renew = ({ db, now }: Transaction, lease: Lease, ttlMillis: number): boolean =>
  db.run(
    `UPDATE lock SET ttl_millis = ?2, expires_at = ?1 + ?2
     WHERE key = ?3 AND fence = ?4 AND expires_at > ?1`,
    now,
    Math.ceil(ttlMillis),
    lease.key,
    lease.fence,
  ).changes === 1

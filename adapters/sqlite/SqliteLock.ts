/** Locks in SQLite: see `Lock` for the laws. */
import { Duration, Effect, Option } from "effect"
import { type Fence, Lease, type LockKey } from "../../core/domain/Lease.ts"
import { LeaseLost, Lock } from "../../core/services/Lock.ts"
import { ofLock, type Wakeups } from "../../core/services/Wakeups.ts"
import type { Database, Transaction } from "./Database.ts"

export const make = (db: Database, wakeups: Wakeups["Service"]): Lock["Service"] =>
  Lock.of({
    technology: "sqlite",
    // Each commit is on the disk before it is acknowledged; what is not in a file dies with us.
    fences: db.isShared ? "durable" : "advisory",
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
        if (changes === 1) tx.hint(ofLock(lease.key))
      }),
    watch: (key) => wakeups.subscribe([ofLock(key)]),
    held: ({ limit, prefix }) =>
      db.read("held", () => {
        const now = db.now()
        return db.all<{ key: LockKey; holder: string; fence: Fence; expires_at: number }>(
          `SELECT key, holder, fence, expires_at FROM lock
           WHERE expires_at > ?1 AND substr(key, 1, length(?2)) = ?2 ORDER BY key LIMIT ?3`,
          now,
          prefix,
          limit,
        ).map(({ expires_at, fence, holder, key }) => ({
          lease: new Lease({ key, holder, fence }),
          endsIn: Duration.millis(expires_at - now),
        }))
      }),
  })

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

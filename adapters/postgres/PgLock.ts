/** Locks in PostgreSQL: see `Lock` for the laws. */
import { Duration, Effect, Option } from "effect"
import { type Fence, Lease, type LockKey } from "../../core/domain/Lease.ts"
import { LeaseLost, Lock } from "../../core/services/Lock.ts"
import { ofLock, type Wakeups } from "../../core/services/Wakeups.ts"
import type { Pg } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import { hintOfLock } from "./PgWakeups.ts"

export const make = (pg: Pg, hints: PgHints, wakeups: Wakeups["Service"]): Lock["Service"] =>
  Lock.of({
    technology: "postgres",
    // As long as the server keeps what it has acknowledged, which it does unless set up otherwise.
    fences: "durable",
    // The row is replaced, never removed: the last fence of a key must outlive its lease (L2).
    // Whether it has expired is judged when its lock is held, for `clock()` is read then.
    acquire: (key, holder, ttl) =>
      Effect.map(
        pg.query<{ fence: number }>(
          "beats",
          "acquire",
          `INSERT INTO lock (key, holder, fence, expires_at) VALUES ($1, $2, 1, clock() + $3)
           ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, fence = lock.fence + 1,
             expires_at = clock() + $3 WHERE lock.expires_at <= clock()
           RETURNING fence::float8 AS fence`,
          [key, holder, Math.ceil(Duration.toMillis(ttl))],
          // An answer that was lost may have been a grant; its lease then expires unused.
          false,
        ),
        ([row]) =>
          Option.map(
            Option.fromNullishOr(row),
            ({ fence }) => new Lease({ key, holder, fence: fence as Fence }),
          ),
      ),
    renew: (lease, ttl) =>
      Effect.flatMap(
        pg.query(
          "beats",
          "renew",
          `UPDATE lock SET expires_at = clock() + $3
           WHERE key = $1 AND fence = $2::bigint AND expires_at > clock() RETURNING 1`,
          [lease.key, `${lease.fence}`, Math.ceil(Duration.toMillis(ttl))],
        ),
        (rows) => rows.length > 0 ? Effect.void : Effect.fail(new LeaseLost({ lease })),
      ),
    release: (lease) =>
      Effect.map(
        pg.query(
          "beats",
          "release",
          `UPDATE lock SET expires_at = clock()
           WHERE key = $1 AND fence = $2::bigint AND expires_at > clock() RETURNING 1`,
          [lease.key, `${lease.fence}`],
        ),
        (rows) => {
          if (rows.length > 0) hints.give([hintOfLock(lease.key)])
        },
      ),
    watch: (key) => wakeups.subscribe([ofLock(key)]),
    held: ({ limit, prefix }) =>
      Effect.map(
        pg.query<{ key: LockKey; holder: string; fence: number; ends_in: number }>(
          "reads",
          "held",
          `SELECT key, holder, fence::float8 AS fence, ends_in::float8 AS ends_in
           FROM (SELECT *, expires_at - clock() AS ends_in FROM lock) AS lock
           WHERE ends_in > 0 AND starts_with(key, $1) ORDER BY key COLLATE "C" LIMIT $2`,
          [prefix, limit],
        ),
        (rows) =>
          rows.map(({ ends_in, fence, holder, key }) => ({
            lease: new Lease({ key, holder, fence: fence as Fence }),
            endsIn: Duration.millis(ends_in),
          })),
      ),
  })

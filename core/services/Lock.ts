/**
 * Grants named locks.
 *
 * An adapter owns its clock: expiry is judged where locks are kept, never by the caller. A lock
 * saves work; what must not happen twice is guarded by its fence at the place where it happens.
 *
 * - **L1 exclusive.** While a lease is live, no other acquire of its key succeeds, not even by the
 *   same holder.
 * - **L2 fenced.** Each grant of a key has a higher fence than every grant before it, also after the
 *   key was released or left to expire.
 * - **L3 expiring.** Once a lease has expired its key is free, and its renewal fails.
 * - **L4 renewable.** Renewing a live lease moves its expiry and keeps its fence.
 * - **L5 exact.** Releasing a lease that is no longer current changes nothing.
 * - **L6 watched.** A release of the key, after `arm` of its watch has returned, ends the next `wait`
 *   within 200 ms, as long as nothing fails on the way. Where a release may have been missed, as when
 *   a connection had to be replaced, waits end as if there had been one. They may also end for no
 *   reason, and an expiry ends none, so a waiter also tries again now and then.
 * - **L7 honest.** `fences` is `durable` only if L1 and L2 hold also across a crash of what keeps the
 *   locks: its process is killed, and what it had acknowledged is there again.
 * - **L8 listed.** `held` answers with the live leases whose keys start as asked, and no others.
 */
import { Context, type Duration, type Effect, type Option, Schema, type Scope } from "effect"
import { Lease, type LockKey } from "../domain/Lease.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"
import type { Subscription } from "./Wakeups.ts"

/**
 * `advisory`: after a crash a lease may be forgotten and a fence be given again, so whoever must not
 * act on an older grant needs another guard.
 */
export type Fences = "durable" | "advisory"

/** A lease as it is seen from outside: enough to release it in its holder's stead. */
export interface Held {
  readonly lease: Lease
  /** Unless it is renewed. */
  readonly endsIn: Duration.Duration
}

export class Lock extends Context.Service<Lock, {
  /** As in `memory`, `sqlite`, `postgres`, `redis`. */
  readonly technology: string
  readonly fences: Fences

  /** A new lease, or `None` while another is live. Losing the race is an answer, not an error. */
  readonly acquire: (
    key: LockKey,
    holder: string,
    ttl: Duration.Duration,
  ) => Effect.Effect<Option.Option<Lease>, StorageUnavailable>

  readonly renew: (
    lease: Lease,
    ttl: Duration.Duration,
  ) => Effect.Effect<void, LeaseLost | StorageUnavailable>

  /** Frees the key at once instead of at its expiry. */
  readonly release: (lease: Lease) => Effect.Effect<void, StorageUnavailable>

  /** A subscription to the releases of `key`, which may come from other processes. */
  readonly watch: (key: LockKey) => Effect.Effect<Subscription, never, Scope.Scope>

  /** At most `limit` of them, in order of their keys. It looks at every lock, so it is for people. */
  readonly held: (
    asked: { readonly prefix: string; readonly limit: number },
  ) => Effect.Effect<ReadonlyArray<Held>, StorageUnavailable>
}>()("belfry/core/services/Lock") {}

/** The lease is no longer current. Its holder must stop acting on the key. */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", { lease: Lease }) {}

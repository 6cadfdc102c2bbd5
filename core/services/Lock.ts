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
 * - **L6 watched.** `watch` returns soon after the key was released; it may also return for no
 *   reason, and it may miss a release, so a waiter also tries again now and then.
 */
import { Context, type Duration, type Effect, type Option, Schema } from "effect"
import { Lease, type LockKey } from "../domain/Lease.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export class Lock extends Context.Service<Lock, {
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

  readonly watch: (key: LockKey) => Effect.Effect<void, StorageUnavailable>
}>()("belfry/core/services/Lock") {}

/** The lease is no longer current. Its holder must stop acting on the key. */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", { lease: Lease }) {}

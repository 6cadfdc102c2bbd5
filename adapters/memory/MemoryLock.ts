/**
 * Locks in memory: see `Lock` for the laws. They are local to the process, and need no I/O. Their
 * fences begin anew with each process, so they are advisory to whatever outlives it.
 */
import { Duration, Effect, Latch, Option } from "effect"
import { Fence, Lease, type LockKey } from "../../core/domain/Lease.ts"
import { LeaseLost, Lock } from "../../core/services/Lock.ts"
import { ofLeases } from "./MemoryClock.ts"
import { type MemoryState, within } from "./MemoryState.ts"

export const make = (state: MemoryState): Effect.Effect<Lock["Service"]> =>
  Effect.map(ofLeases(state), (now) => {
    const held = state.locks
    const watched = new Map<LockKey, Set<Latch.Latch>>()

    // The clock is looked at first: if it was set, that moves what leases are judged by.
    const live = (key: LockKey) => {
      const at = now()
      const entry = held.get(key)
      return entry !== undefined && entry.expiresAt > at ? entry : undefined
    }

    const current = (lease: Lease) => {
      const entry = live(lease.key)
      return entry?.lease.fence === lease.fence ? entry : undefined
    }

    return Lock.of({
      technology: "memory",
      fences: "advisory",
      acquire: (key, holder, ttl) =>
        Effect.sync(() => {
          if (live(key) !== undefined) return Option.none<Lease>()
          const fence = Fence.make((held.get(key)?.lease.fence ?? 0) + 1)
          const lease = new Lease({ key, holder, fence })
          held.set(key, { lease, expiresAt: now() + Duration.toMillis(ttl) })
          return Option.some(lease)
        }),
      renew: (lease, ttl) =>
        Effect.suspend(() => {
          const entry = current(lease)
          if (entry === undefined) return Effect.fail(new LeaseLost({ lease }))
          entry.expiresAt = now() + Duration.toMillis(ttl)
          return Effect.void
        }),
      release: (lease) =>
        Effect.sync(() => {
          const entry = current(lease)
          if (entry === undefined) return
          entry.expiresAt = now()
          for (const latch of watched.get(lease.key) ?? []) latch.openUnsafe()
        }),
      watch: (key) =>
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => {
              const released = Latch.makeUnsafe()
              within(watched, key, () => new Set<Latch.Latch>()).add(released)
              return released
            }),
            (released) =>
              Effect.sync(() => {
                const latches = watched.get(key)
                latches?.delete(released)
                if (latches?.size === 0) watched.delete(key)
              }),
          ),
          (released) => ({
            arm: Effect.asVoid(released.close),
            wait: (atMost) =>
              Effect.map(Effect.timeoutOption(released.await, atMost), Option.isSome),
          }),
        ),
      held: ({ limit, prefix }) =>
        Effect.sync(() => {
          const at = now()
          return [...held.values()]
            .filter(({ expiresAt, lease }) => expiresAt > at && lease.key.startsWith(prefix))
            .toSorted((a, b) => a.lease.key < b.lease.key ? -1 : 1)
            .slice(0, limit)
            .map(({ expiresAt, lease }) => ({ lease, endsIn: Duration.millis(expiresAt - at) }))
        }),
    })
  })

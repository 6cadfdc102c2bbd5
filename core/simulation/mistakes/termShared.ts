/** Planted: who comes second for a lock gets the lease that the first one has. */
import { Effect, Option } from "effect"
import type { Lease } from "../../domain/Lease.ts"
import type { Plant } from "../World.ts"

export const termShared: NonNullable<Plant["lock"]> = (lock) => {
  const leases = new Map<string, Lease>()
  return {
    ...lock,
    acquire: (key, holder, ttl) =>
      Effect.map(lock.acquire(key, holder, ttl), (lease) => {
        if (Option.isSome(lease)) leases.set(key, lease.value)
        return Option.fromNullishOr(leases.get(key))
      }),
  }
}

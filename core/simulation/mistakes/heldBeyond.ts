/** Planted: a lock is held for ten times as long as was asked for. */
import { Duration } from "effect"
import type { Plant } from "../World.ts"

export const heldBeyond: NonNullable<Plant["lock"]> = (lock) => ({
  ...lock,
  acquire: (key, holder, ttl) => lock.acquire(key, holder, Duration.times(ttl, 10)),
  renew: (lease, ttl) => lock.renew(lease, Duration.times(ttl, 10)),
})

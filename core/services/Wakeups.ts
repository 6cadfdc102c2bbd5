/**
 * Carries hints that something may have to be done, so that nobody polls fast.
 *
 * A hint may be lost, doubled or late, so every waiter also looks by itself now and then. Storage
 * adapters give the hints: of a lane when a run became ready in it, of an executor when one of its
 * grants was revoked, of triggers when one was put, of the outbox when it has an event, of what is due
 * when a run was scheduled for soon. Where locks are kept beside the storage, their releases come the
 * same way. Where something beside the storage carries the hints, the storage gives them to it
 * (`HintCarrier`).
 *
 * - **W1 armed.** A hint for a topic, given after `arm` has returned, ends the next `wait`, as long
 *   as nothing fails on the way.
 * - **W2 kept.** A hint given between `arm` and `wait` is not missed.
 * - **W3 own topics.** A hint for topics that nobody here subscribed to wakes nobody here.
 * - **W4 late is not lost.** A `wait` that saw no hint within its time returns `false`.
 */
import { Context, type Duration, type Effect, type Scope } from "effect"
import type { Incarnation } from "../domain/Executor.ts"
import type { Lane } from "../domain/Lane.ts"
import type { LockKey } from "../domain/Lease.ts"

export type Topic =
  | `lane ${string}`
  | `executor ${number}`
  | "triggers"
  | "outbox"
  | "due"
  | `lock ${string}`

export const ofLane = (lane: Lane): Topic => `lane ${lane}`
export const ofExecutor = (incarnation: Incarnation): Topic => `executor ${incarnation}`
export const ofTriggers: Topic = "triggers"
export const ofOutbox: Topic = "outbox"
export const ofDue: Topic = "due"

/** Whoever moves what is due looks at least so often, so of what is due later nobody is told. */
export const soonMillis = 1000

export const isSoon = (delayMillis: number): boolean => delayMillis <= soonMillis
export const ofLock = (key: LockKey): Topic => `lock ${key}`

export interface Subscription {
  /** Says that a `wait` is about to follow. It may cost a round trip, so it is only done when idle. */
  readonly arm: Effect.Effect<void>
  /** Whether a hint came before the time was up. */
  readonly wait: (atMost: Duration.Duration) => Effect.Effect<boolean>
}

export class Wakeups extends Context.Service<Wakeups, {
  readonly subscribe: (
    topics: ReadonlyArray<Topic>,
  ) => Effect.Effect<Subscription, never, Scope.Scope>
}>()("belfry/core/services/Wakeups") {}

/**
 * Says which duties this process holds now: partitions of triggers, the sweep, retention,
 * and the audit.
 *
 * It places work and guards nothing: two processes that hold one duty at once, as may happen after
 * a pause, cost work and break nothing, because what they do is guarded in `Storage`.
 *
 * - **O1 placed.** While all is well, at most one process holds a duty, and one does.
 * - **O2 ended.** When a duty is lost, its work is interrupted.
 * - **O3 taken over.** When a holder leaves or dies, another gets the duty within a bounded time.
 * - **O4 kept up.** Work that fails or ends is started again, after a pause, while the duty is held.
 */
import { Context, type Effect } from "effect"

export type Duty = `triggers/${number}` | "sweep" | "retention" | "audit"

export class Ownership extends Context.Service<Ownership, {
  /** Carries `work` out whenever this process holds `duty`. Does not return. */
  readonly whileHeld: <R>(
    duty: Duty,
    work: Effect.Effect<void, never, R>,
  ) => Effect.Effect<never, never, R>
}>()("belfry/core/services/Ownership") {}

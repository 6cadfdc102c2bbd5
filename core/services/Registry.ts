/**
 * Knows who is alive: the executors of a namespace, and the schedulers of the installation.
 *
 * It places work and guards nothing: whoever it lists may be gone a moment later, and what a lost
 * executor still does is fenced in `Storage`.
 *
 * - **G1 alive.** A snapshot lists every executor of its namespace that was live or draining when it
 *   was asked for, and none that had left or was lost by then.
 * - **G2 dated.** A snapshot is at most as old as it says, by the reader's own monotonic clock from
 *   before the question was sent, and no older than was asked for.
 * - **G3 revision.** Snapshots of one revision list the same executors, of the same standing,
 *   capacity, labels, resources and tasks. What they hold may differ, and when they beat.
 * - **G4 watched.** `changed` returns soon after the executors are others than those of the given
 *   revision. It may return for no reason, and miss a change that was undone.
 * - **G5 schedulers.** A scheduler is listed from when `announce` has returned to the end of its
 *   scope, under a name once; one that was killed is listed no longer than its ttl.
 * - **G6 isolated.** A snapshot tells of one namespace, and of no scheduler.
 */
import { Context, type Duration, type Effect, Schema, type Scope } from "effect"
import { ExecutorName, type ExecutorView } from "../domain/Executor.ts"
import { Labels } from "../domain/Labels.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface Snapshot {
  /** Only to be compared with others of this registry. */
  readonly revision: number
  readonly ageMillis: number
  /** Live and draining ones, the latest first. */
  readonly executors: ReadonlyArray<ExecutorView>
}

export const SchedulerMember = Schema.Struct({
  name: ExecutorName,
  /** Where it is reached, which version it is. */
  labels: Labels,
  since: Schema.DateTimeUtc,
  beatAt: Schema.DateTimeUtc,
  /** It was announced through this registry. */
  isSelf: Schema.Boolean,
})
export type SchedulerMember = typeof SchedulerMember.Type

export interface Announcement {
  readonly name: ExecutorName
  readonly labels?: Labels
  readonly ttl?: Duration.Input
}

export class Registry extends Context.Service<Registry, {
  /** `maxAge` is none unless given: then it is asked for anew. */
  readonly snapshot: (
    namespace: Namespace,
    maxAge?: Duration.Input,
  ) => Effect.Effect<Snapshot, StorageUnavailable>

  readonly changed: (
    namespace: Namespace,
    revision: number,
  ) => Effect.Effect<void, StorageUnavailable>

  readonly announce: (
    scheduler: Announcement,
  ) => Effect.Effect<void, StorageUnavailable, Scope.Scope>

  readonly schedulers: Effect.Effect<ReadonlyArray<SchedulerMember>, StorageUnavailable>
}>()("belfry/core/services/Registry") {}

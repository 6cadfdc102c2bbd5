/**
 * Keeps who is here to carry tasks out.
 *
 * - **E1 incarnation.** Each join is a new incarnation, with a number that no earlier one had.
 * - **E2 lease.** An incarnation that has not beaten for its ttl is lost: its beat answers `Lost`,
 *   for ever, and its claims are refused.
 * - **E3 revocation.** A beat returns the grants of this incarnation that were asked to stop, or to be
 *   put down, until they are settled.
 * - **E4 leaving.** An incarnation that left, or was lost, gets no grant; `recover` frees what it
 *   held.
 * - **E5 agreement.** A beat names how many grants its holder knows of, and their digest; the answer
 *   says whether storage knows the same. If not, `RunStorage.reconcile` settles the difference.
 * - **E6 told.** What an incarnation said of itself when it joined is listed, whole: name, capacity,
 *   labels, resources.
 * - **E7 vitals.** What it said of itself with its last beat is listed, and its capacity is the maximum of
 *   the sizes that it said; a beat that says nothing leaves that as it is.
 * - **E8 resized.** The sizes that were last wished of an incarnation are in the answer to each of its
 *   beats. Of one that is not here nothing is wished.
 * - **E9 endings.** What an incarnation leaves to be said of its runs (R41) with a beat takes the place of
 *   all that it has left before, from whenever the beat arrives; of two beats that arrive out of order the
 *   one with the higher number counts. A beat that names none leaves it as it is. Of times a tenth of a
 *   second does not count: what was left of the same grant for then may stay as it was said.
 */
import type { Effect } from "effect"
import type { ExecutorView, Incarnation, Joining, Vitals } from "../domain/Executor.ts"
import type { Fence } from "../domain/Lease.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { PoolSizes } from "../domain/PoolSizes.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskDefinition } from "../domain/Task.ts"
import type { Endings } from "./RunStorage.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

/** A grant that its holder is asked to stop, or to put down. */
export interface Revocation {
  readonly run: RunId
  readonly fence: Fence
  readonly isSuspending?: true
}

/** The grants an executor knows of, in short. */
export interface Held {
  readonly count: number
  readonly digest: number
}

export const held = (
  grants: Iterable<{ readonly run: RunId; readonly fence: Fence }>,
): Held => {
  let count = 0
  let digest = 0
  for (const { fence, run } of grants) {
    count++
    // Small enough that a hundred thousand terms stay an exact integer, here and in SQL.
    digest += (run % 1_000_003) * (fence % 1_009)
  }
  return { count, digest }
}

export type Beaten =
  | {
    readonly _tag: "Alive"
    readonly revoked: ReadonlyArray<Revocation>
    readonly isAgreed: boolean
    /** What somebody wishes its pool to be. */
    readonly sizes?: PoolSizes
  }
  | { readonly _tag: "Lost" }

export interface ExecutorStorage {
  readonly join: (joining: Joining) => Effect.Effect<Incarnation, StorageUnavailable>

  /** Says which tasks it carries out, all of them; defines those that are new or changed. */
  readonly serve: (
    incarnation: Incarnation,
    definitions: ReadonlyArray<TaskDefinition>,
  ) => Effect.Effect<void, StorageUnavailable>

  readonly beat: (
    incarnation: Incarnation,
    held: Held,
    vitals?: Vitals,
    endings?: Endings,
  ) => Effect.Effect<Beaten, StorageUnavailable>

  /** Wishes sizes for the pool of an executor that is here; `false` if it is not. */
  readonly resize: (
    namespace: Namespace,
    incarnation: Incarnation,
    sizes: PoolSizes,
  ) => Effect.Effect<boolean, StorageUnavailable>

  /** No more grants; what it holds it still may settle. */
  readonly drain: (incarnation: Incarnation) => Effect.Effect<void, StorageUnavailable>

  /** It is gone for good. */
  readonly leave: (incarnation: Incarnation) => Effect.Effect<void, StorageUnavailable>

  /** Those live or draining, and those that left or were lost within the last hour; latest first. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<ExecutorView>, StorageUnavailable>
}

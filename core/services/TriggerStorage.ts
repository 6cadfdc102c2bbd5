/**
 * Keeps triggers, and the record in which each of their slots ends.
 *
 * A trigger has a cursor: its first slot without a record. `fire` records slots, creates the run
 * of a fired one and moves the cursor, in one atomic step.
 *
 * - **T1 unique slot.** A slot has one record, for ever: whoever comes second with it, or with a
 *   stretch that covers it, gets `Already`, and nothing else of the item is done.
 * - **T2 together.** The run of a fired slot exists exactly if its record does.
 * - **T3 not early.** A slot after the storage clock is answered `NotDue` with the time that remains.
 * - **T4 current.** An item for another revision than the kept one, or for a trigger that is paused
 *   or removed, is `Stale`.
 * - **T5 onward.** The cursor never moves back but by a new definition, or a changed calendar.
 * - **T6 each for itself.** Items of one call do not affect each other.
 * - **T7 known calendar.** A trigger that names a calendar which is not kept is refused, and a kept
 *   one follows its calendar from the moment it is put or resumed.
 * - **T8 each event once.** A trigger that follows a task is subscribed to its ends from the moment it
 *   is put, and until it is put otherwise or removed. `follow` takes the event, records the slot and
 *   creates the run, in one step; whoever comes second gets `Already`. An event that is not fired is
 *   recorded with the reason; while its trigger is paused, that is so.
 * - **T9 no end without end.** Runs that follow each other are no more than `depthMax`: what would
 *   come after is recorded and not fired. Each names the run that it follows.
 */
import { type Effect, type Option, Schema } from "effect"
import type { EventId } from "../domain/Following.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Refused } from "../domain/Refused.ts"
import { Final } from "../domain/Run.ts"
import { RunIdFromString } from "../domain/RunId.ts"
import type { RunId } from "../domain/RunId.ts"
import { type Passed, TriggerDefinition, TriggerId, type TriggerName } from "../domain/Trigger.ts"
import type { RunSpec } from "./RunStorage.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export const TriggerView = Schema.Struct({
  id: TriggerId,
  /** The definition; an `Every` has its anchor. */
  definition: TriggerDefinition,
  /** Rises with each change of the definition, or of the calendar it names. */
  revision: Schema.Int,
  isPaused: Schema.Boolean,
  /** Its first slot without a record; absent when it has none left. In milliseconds. */
  cursor: Schema.optionalKey(Schema.Int),
})
export type TriggerView = typeof TriggerView.Type

/** How one or several slots of a trigger ended. */
export const SlotRecord = Schema.Struct({
  slot: Schema.Int,
  /** The last slot of a stretch that shares this record; equal to `slot` for a single one. */
  through: Schema.Int,
  outcome: Schema.Literals(["fired", "skipped", "coalesced"]),
  /** The run it became, or was coalesced into. */
  run: Schema.optionalKey(RunIdFromString),
  reason: Schema.optionalKey(Schema.String),
  /** The run whose end was the event, at the instant of the slot. */
  after: Schema.optionalKey(Schema.Struct({ run: RunIdFromString, state: Final })),
  /** From the slot to its record, by the storage clock. */
  latenessMillis: Schema.Int,
})
export type SlotRecord = typeof SlotRecord.Type

/** One step of a trigger, as `Trigger.step` decided it. */
export interface Firing {
  readonly trigger: TriggerId
  readonly revision: number
  readonly passed: Passed | undefined
  readonly fire: { readonly slot: number; readonly spec: RunSpec } | undefined
  /** Where the cursor goes; `undefined` when no slot is left. */
  readonly next: number | undefined
}

export type Fired =
  | { readonly _tag: "Fired"; readonly run: RunId; readonly latenessMillis: number }
  /** The stretch was recorded; there was no slot to fire. */
  | { readonly _tag: "Recorded" }
  | { readonly _tag: "NotDue"; readonly remainingMillis: number }
  | { readonly _tag: "Already" }
  | { readonly _tag: "Stale" }

/** One event for the trigger that follows. */
export interface Follow {
  readonly event: EventId
  readonly trigger: TriggerId
  readonly revision: number
  /** The run to be; or why there is none. */
  readonly fire: RunSpec | string
}

export type Followed =
  | { readonly _tag: "Fired"; readonly run: RunId }
  | { readonly _tag: "Skipped"; readonly reason: string }
  | { readonly _tag: "Already" }
  | { readonly _tag: "Stale" }

export interface TriggerStorage {
  /**
   * Stores a trigger. An equal definition changes nothing. Another one for a known name raises the
   * revision and moves the cursor to its first slot after now.
   */
  readonly put: (
    definition: TriggerDefinition,
  ) => Effect.Effect<TriggerView, Refused | StorageUnavailable>

  /** Whether there was such a trigger. Its slot records stay. */
  readonly remove: (
    namespace: Namespace,
    name: TriggerName,
  ) => Effect.Effect<boolean, StorageUnavailable>

  /** Pauses or resumes. A resumed trigger goes on with its first slot after now. */
  readonly pause: (
    namespace: Namespace,
    name: TriggerName,
    isPaused: boolean,
  ) => Effect.Effect<Option.Option<TriggerView>, StorageUnavailable>

  readonly find: (
    namespace: Namespace,
    name: TriggerName,
  ) => Effect.Effect<Option.Option<TriggerView>, StorageUnavailable>

  /** By name. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<TriggerView>, StorageUnavailable>

  /**
   * The triggers of these partitions, of all namespaces, whose cursor lies before now +
   * `withinMillis`, unless paused: the earliest cursor first, at most `limit`. And the storage
   * clock, read in the same step.
   */
  readonly due: (
    partitions: ReadonlyArray<number>,
    withinMillis: number,
    limit: number,
  ) => Effect.Effect<
    { readonly now: number; readonly triggers: ReadonlyArray<TriggerView> },
    StorageUnavailable
  >

  /** One answer per item, in order. */
  readonly fire: (
    items: ReadonlyArray<Firing>,
  ) => Effect.Effect<ReadonlyArray<Fired>, StorageUnavailable>

  /** One answer per item, in order. They name different events. */
  readonly follow: (
    items: ReadonlyArray<Follow>,
  ) => Effect.Effect<ReadonlyArray<Followed>, StorageUnavailable>

  /** The latest records first, at most `limit`. */
  readonly records: (
    trigger: TriggerId,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<SlotRecord>, StorageUnavailable>
}

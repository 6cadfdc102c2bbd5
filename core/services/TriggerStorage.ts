/**
 * Keeps triggers, and the record in which each of their slots ends.
 *
 * A trigger has a cursor: its first slot without a record. `fire` records slots, creates the run
 * of a fired one and moves the cursor, in one atomic step.
 *
 * - **T1 unique slot.** A slot has one record, for ever: whoever comes second with it, or with a
 *   stretch that covers it, gets `Already`, and nothing else of the item is done.
 * - **T2 together.** The run of a fired slot exists exactly if its record does, and by the run that is
 *   found, with the revision that it was fired by.
 * - **T3 not early.** A slot after the storage clock is answered `NotDue` with the time that remains,
 *   unless it is ahead.
 * - **T4 current.** An item for another revision than the kept one, or for a trigger that is paused
 *   or removed, is `Stale`. Once a pause was acknowledged no slot fires.
 * - **T5 onward.** The cursor never moves back but by a new definition, or a changed calendar; then
 *   too it goes to no slot that has a record. What lies before it is `Already`, though its record be
 *   gone; and so is a stretch that begins there, which moves the cursor over nothing.
 * - **T6 each for itself.** Items of one call do not affect each other.
 * - **T7 known calendar.** A trigger that names a calendar which is not kept is refused, and a kept
 *   one follows its calendar from the moment it is put or resumed.
 * - **T8 each event once.** A trigger that follows a task is subscribed to its ends from the moment it
 *   is put, and until it is put otherwise or removed. `follow` takes the event, records the slot and
 *   creates the run, in one step; whoever comes second gets `Already`. An event that is not fired is
 *   recorded with the reason; while its trigger is paused, that is so.
 * - **T9 no end without end.** Runs that follow each other are no more than `depthMax`: what would
 *   come after is recorded and not fired. Each names the run that it follows.
 * - **T10 every slot.** What was due and not fired when a trigger is resumed, removed or given another
 *   schedule ends in one record, which says why. Another definition with the same schedule moves no
 *   cursor: what is due fires by the new one.
 * - **T11 no lost update.** A put that names a revision other than the kept one (`0`: none) changes
 *   nothing, and fails with the kept one. Of several that name the same, one is done.
 * - **T12 versions.** Each change of a rule is kept with the first slot it is in force for, by the
 *   storage clock; a removal too. At most `versionsMax` of a trigger, the latest.
 * - **T13 asked once.** A request for a run by hand, and a slot that is filled in, make one run each,
 *   however often and by however many it is asked for; who comes later is told which. What has fired
 *   is not filled in, nor what the trigger will fire itself.
 * - **T14 while running.** Whether a run of the trigger is under way is decided with the slot, from
 *   rows: then a slot with `skip` is skipped, and one with `fail` makes a run that has failed. Its record
 *   says by which run it was held up; one of a slot comes before one by hand or of an event, of each the latest.
 * - **T15 one alive.** A permanent trigger is told of as `stopped` when none of its runs is under way.
 * - **T16 each entry once.** What a trigger that tails a source has taken and its position change in one
 *   step: each entry makes its run, or is recorded with why not, exactly if the position moves past it.
 *   Whoever read from another position than the kept one is `Behind`, and nothing is done.
 * - **T17 position.** It outlives a pause, while which it stays, an edit, and removal; another source
 *   begins anew. What was not taken, and why, is told with it.
 * - **T18 ahead.** An item may be handed over up to `aheadMillis` before its slot, and is answered once
 *   it has fired. Until the instant nothing of it is seen. Who turns its trigger meanwhile does so
 *   before, and then it is `Stale`, or is kept waiting until after.
 * - **T19 page by page.** A list is by name, of no more than `listedMax`, or as many as are asked for; page
 *   by page, each after the last name of the one before, it has all that stays, once.
 * - **T20 pages.** What is `stopped` is told of by id: at most `limit` of them, fewer only when there are
 *   no more after the one that is named. Page by page, each that stays so comes once, in order.
 */
import { type Effect, type Option, Schema } from "effect"
import type { EventId } from "../domain/Following.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Refused } from "../domain/Refused.ts"
import type { Life } from "../domain/Permanent.ts"
import { Final } from "../domain/Run.ts"
import { RunIdFromString } from "../domain/RunId.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Tail } from "../domain/Tailing.ts"
import {
  type Passed,
  TriggerDefinition,
  TriggerId,
  type TriggerName,
  type WhileRunning,
} from "../domain/Trigger.ts"
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
  /** The position of the entry in the source that its trigger tails. */
  entry: Schema.optionalKey(Schema.String),
  /** The run that was under way, for which it was skipped or failed. */
  running: Schema.optionalKey(RunIdFromString),
  /** From the slot to its record, by the storage clock. */
  latenessMillis: Schema.Int,
  /** Of the trigger when it was recorded. */
  revision: Schema.optionalKey(Schema.Int),
  /** Somebody asked for it; absent when it is of the rule. */
  asked: Schema.optionalKey(Schema.Struct({
    /** `manual`: now, whatever the rule says. `backfill`: a slot that had not fired. */
    kind: Schema.Literals(["manual", "backfill"]),
    /** The key of the request; of a backfill, all of whose slots share it. */
    request: Schema.String,
    by: Schema.optionalKey(Schema.String),
  })),
})
export type SlotRecord = typeof SlotRecord.Type

/** Of a trigger are kept so many versions, the latest. */
export const versionsMax = 100

export interface TriggerVersion {
  readonly revision: number
  /** It is in force for the slots from here on, up to the `since` of the next version. */
  readonly since: number
  /** Absent: the trigger was removed. */
  readonly definition?: TriggerDefinition
}

/** Somebody else has changed the trigger meanwhile. Nothing was done; read it and try again. */
export class TriggerChanged extends Schema.TaggedError<TriggerChanged>()("TriggerChanged", {
  name: Schema.String,
  /** The kept one; `0` when there is no such trigger. */
  revision: Schema.Int,
}) {
  override get message() {
    return this.revision === 0
      ? `there is no trigger "${this.name}" any more`
      : `the trigger "${this.name}" is at revision ${this.revision} by now`
  }
}

/** One step of a trigger, as `Trigger.step` decided it. */
export interface Firing {
  readonly trigger: TriggerId
  readonly revision: number
  readonly passed: Passed | undefined
  readonly fire: {
    readonly slot: number
    readonly spec: RunSpec
    readonly whileRunning?: WhileRunning | undefined
  } | undefined
  /** Where the cursor goes; `undefined` when no slot is left. */
  readonly next: number | undefined
}

export type Fired =
  | { readonly _tag: "Fired"; readonly run: RunId; readonly latenessMillis: number }
  /** What passed was recorded; there was no slot to fire, or it was skipped. */
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

/** So many entries are taken by one step. */
export const tailMax = 200

/** What was read of the source that a trigger tails. */
export interface Tailing {
  readonly trigger: TriggerId
  readonly revision: number
  /** The kept position, from which it was read. */
  readonly from: string | undefined
  /** Where the position goes; the same if it cannot go on. */
  readonly to: string | undefined
  /** In their order: the run to be, or why there is none. */
  readonly entries: ReadonlyArray<{ readonly position: string; readonly fire: RunSpec | string }>
  /** How many others were read, of which no run is wanted. */
  readonly passed: number
  /** So long ago all up to `to` was all that there was; absent if there was more. */
  readonly endedMillisAgo: number | undefined
  /** Why it cannot go on. */
  readonly failure: string | undefined
}

export type Tailed =
  /** The runs of those entries that make one, in their order. */
  | { readonly _tag: "Taken"; readonly runs: ReadonlyArray<RunId> }
  | { readonly _tag: "Behind" }
  | { readonly _tag: "Stale" }

/** A trigger that tails a source, paused or not, and how far it has come. */
export interface TailView {
  readonly view: TriggerView
  readonly tail: Tail
}

/** A run that somebody asks for. */
export interface Asking {
  readonly trigger: TriggerId
  readonly revision: number
  readonly kind: "manual" | "backfill"
  readonly request: string
  readonly by: string | undefined
  /** Of a backfill. */
  readonly slot: number | undefined
  readonly spec: RunSpec
}

export type Asked =
  | { readonly _tag: "Fired"; readonly run: RunId }
  /** It would have fired, had the call not been dry. */
  | { readonly _tag: "Dry" }
  /** By an earlier request; without a run if it left by its age. */
  | { readonly _tag: "Already"; readonly run: RunId | undefined }
  /** The trigger fires the slot itself. */
  | { readonly _tag: "Pending" }
  | { readonly _tag: "Stale" }

/** A permanent trigger none of whose runs is under way. */
export interface Stopped {
  readonly view: TriggerView
  /** Its latest runs, at most `Permanent.remembered`, the latest first. */
  readonly lives: ReadonlyArray<Life>
  /** When the last of them ended; its slot if that was forgotten. */
  readonly endedAt: number
}

/** So many triggers are listed at once. */
export const listedMax = 10_000

export interface TriggerPage {
  /** Only those whose name comes after this one. */
  readonly after?: string | undefined
  /** `listedMax` unless it is less. */
  readonly limit?: number | undefined
}

export interface TriggerStorage {
  /**
   * Stores a trigger. An equal definition changes nothing. Another one for a known name raises the
   * revision; with another schedule it moves the cursor to its first slot after now.
   */
  readonly put: (
    definition: TriggerDefinition,
    revision?: number,
  ) => Effect.Effect<TriggerView, Refused | TriggerChanged | StorageUnavailable>

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

  readonly list: (
    namespace: Namespace,
    page?: TriggerPage,
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

  /** So long before the instant a storage can make use of being told. */
  readonly aheadMillis: number

  /** One answer per item, in order. */
  readonly fire: (
    items: ReadonlyArray<Firing>,
  ) => Effect.Effect<ReadonlyArray<Fired>, StorageUnavailable>

  /** One answer per item, in order. They name different events. */
  readonly follow: (
    items: ReadonlyArray<Follow>,
  ) => Effect.Effect<ReadonlyArray<Followed>, StorageUnavailable>

  /** Takes entries and moves the position; at most `tailMax` entries. */
  readonly tail: (item: Tailing) => Effect.Effect<Tailed, StorageUnavailable>

  /** By name: of these partitions, of all namespaces; or of a namespace, all or the one that is named. */
  readonly tails: (
    of:
      | { readonly partitions: ReadonlyArray<number> }
      | { readonly namespace: Namespace; readonly name?: TriggerName },
  ) => Effect.Effect<ReadonlyArray<TailView>, StorageUnavailable>

  /** The latest records first, at most `limit`; what was asked for is among them, by its slot. */
  readonly records: (
    trigger: TriggerId,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<SlotRecord>, StorageUnavailable>

  /** The record that the run is of, for as long as it is kept: T2. */
  readonly recordOf: (run: RunId) => Effect.Effect<Option.Option<SlotRecord>, StorageUnavailable>

  /** One answer per item, in order. Items of one call are of one trigger. Dry, it changes nothing. */
  readonly ask: (
    items: ReadonlyArray<Asking>,
    isDry: boolean,
  ) => Effect.Effect<ReadonlyArray<Asked>, StorageUnavailable>

  /** The runs of a backfill, the earliest slot first, at most `limit`. */
  readonly asked: (
    trigger: TriggerId,
    request: string,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<RunId>, StorageUnavailable>

  /** The latest first. */
  readonly versions: (
    trigger: TriggerId,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<TriggerVersion>, StorageUnavailable>

  /**
   * Permanent triggers of these partitions that are not paused and have no run under way: the lowest id
   * first, those after the one named, at most `limit`.
   */
  readonly stopped: (
    partitions: ReadonlyArray<number>,
    limit: number,
    after?: TriggerId,
  ) => Effect.Effect<
    { readonly now: number; readonly triggers: ReadonlyArray<Stopped> },
    StorageUnavailable
  >
}

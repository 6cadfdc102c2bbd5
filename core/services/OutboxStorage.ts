/**
 * Keeps what somebody is to be told of: subscriptions, and an event for each end of a run that one of
 * them names. A run without a subscription pays nothing for those that have one.
 *
 * Events are consumed as rows, and never by their order: a row is handed out, and taken away when its
 * taker has done with it. So an event that is committed late is not overtaken by a position.
 *
 * - **B1 told.** The step that ends a run keeps one event of it for each subscription of its task that
 *   names this end; however it ends, and for no other. A child has none, since its parent tells for
 *   it.
 * - **B2 from then on.** A subscription has the ends that begin after it was acknowledged, and none
 *   before. Of one that was taken back nothing is handed out any more.
 * - **B3 handed to one.** An event that was taken is not handed out to others before its time is up; then
 *   it is, with a higher number: a taker that dies loses nothing. Each number names one hand.
 * - **B4 done.** `done` with the number handed out last takes the event away for ever; with another
 *   it changes nothing. Doing it twice is doing it once.
 * - **B5 in order.** Of the events of one run for one subscription the next is handed out only after
 *   the one before is done.
 * - **B6 own.** A taker gets events of its consumer and of the partitions it asks for, at most so many
 *   as it asks for.
 * - **B7 rounds.** A take under the round of an earlier one of the same taker hands out again, before
 *   anything new, what that one took: as far as nobody is done with it and it is in no other hand, with
 *   the same numbers, for as long from now. Under a later round what the taker has of earlier ones is
 *   free for it. So an answer that is lost costs no more than it takes to ask again.
 *
 * What nobody takes stays until its run leaves (H6): the outbox is no larger than history.
 *
 * Wake-ups: whenever there is a new event, an adapter that has `Wakeups` beside it hints the outbox.
 */
import type { Effect } from "effect"
import type { EventId } from "../domain/Following.ts"
import type { Fence } from "../domain/Lease.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Consumer, Subscription } from "../domain/Outbox.ts"
import type { Final } from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Failure } from "../domain/RunView.ts"
import type { TaskName } from "../domain/TaskName.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

/** The right to carry one event on, for a time. */
export interface Handed {
  readonly event: EventId
  /** Rises with each hand-out of this event. */
  readonly hand: number
}

export interface OutboxEvent extends Handed {
  readonly namespace: Namespace
  /** Of the subscription. */
  readonly name: string
  readonly run: RunId
  readonly task: TaskName
  readonly state: Final
  readonly fence: Fence
  readonly attempt: number
  /** When the run ended, by the storage clock. */
  readonly at: number
  /** How it failed. A result is read from the run, which keeps it for as long as there is an event. */
  readonly failure?: Failure
}

export interface KeptSubscription extends Subscription {
  /** Events that left with their runs before anybody was done with them. */
  readonly missed: number
}

export interface OutboxStorage {
  /** A known name is changed: what was told to it stays, and from now on it asks for this. */
  readonly subscribe: (subscription: Subscription) => Effect.Effect<void, StorageUnavailable>

  /** Whether there was such a subscription. Its events go with it. */
  readonly unsubscribe: (
    subscription: Pick<Subscription, "namespace" | "consumer" | "name">,
  ) => Effect.Effect<boolean, StorageUnavailable>

  /** By consumer and name, at most 10,000. */
  readonly subscriptions: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<KeptSubscription>, StorageUnavailable>

  /** About the earliest first. */
  readonly take: (request: {
    readonly consumer: Consumer
    readonly partitions: ReadonlyArray<number>
    readonly limit: number
    readonly forMillis: number
    /** Who asks: of two that name the same each is handed what is the other's. */
    readonly taker: number
    /** Rises with each take of this taker that was answered. */
    readonly round: number
  }) => Effect.Effect<ReadonlyArray<OutboxEvent>, StorageUnavailable>

  /** Those that this took away. */
  readonly done: (
    handed: ReadonlyArray<Handed>,
  ) => Effect.Effect<ReadonlyArray<EventId>, StorageUnavailable>
}

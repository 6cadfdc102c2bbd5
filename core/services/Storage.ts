/**
 * Keeps everything: tasks, calendars, triggers and slots, runs and what they say, executors, the
 * outbox, permits, the journal, what orders were answered; for as long as it should; and moves it elsewhere.
 *
 * It takes commands, not rows to write: each is one atomic step, which an adapter may carry out in
 * one statement. Pure code (`Run.advance`, `Blocking.decide`, `Placing.decide`, `Trigger.step`)
 * decides; an adapter applies.
 *
 * The laws are numbered in the group they belong to. Those of all groups:
 *
 * - **S1 durable.** What was acknowledged is there after the process, or the adapter's server,
 *   was killed. (Memory lives as long as its process.)
 * - **S2 own clock.** Due, expiry and every instant kept are judged by the storage's clock alone;
 *   callers give durations, or instants of slots to compare with it.
 * - **S3 isolated.** Lists and look-ups by name answer within one namespace only.
 * - **S4 one after another.** Of edits of one definition that race, each that changed something has
 *   a revision of its own, none is passed over, and what is kept is the one with the highest.
 */
import { Context, type Effect } from "effect"
import type { AnswerStorage } from "./AnswerStorage.ts"
import type { AuditStorage } from "./AuditStorage.ts"
import type { CalendarStorage } from "./CalendarStorage.ts"
import type { ExecutorStorage } from "./ExecutorStorage.ts"
import type { HistoryStorage } from "./HistoryStorage.ts"
import type { OutboxStorage } from "./OutboxStorage.ts"
import type { LogStorage } from "./LogStorage.ts"
import type { PermitStorage } from "./PermitStorage.ts"
import type { PlacementStorage } from "./PlacementStorage.ts"
import type { RunStorage } from "./RunStorage.ts"
import type { Table } from "../domain/Tailing.ts"
import type { Source } from "./Source.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"
import type { TaskStorage } from "./TaskStorage.ts"
import type { TransferStorage } from "./TransferStorage.ts"
import type { TriggerStorage } from "./TriggerStorage.ts"

export class Storage extends Context.Service<Storage, {
  /** As in `memory`, `sqlite`, `postgres`. */
  readonly technology: string
  readonly tasks: TaskStorage
  readonly calendars: CalendarStorage
  readonly triggers: TriggerStorage
  readonly runs: RunStorage
  readonly placements: PlacementStorage
  readonly executors: ExecutorStorage
  readonly outbox: OutboxStorage
  /** What runs say of themselves. */
  readonly logs: LogStorage
  readonly history: HistoryStorage
  readonly transfer: TransferStorage
  readonly permits: PermitStorage
  readonly audit: AuditStorage
  readonly answers: AnswerStorage
  /**
   * A table of others in the same database, to be tailed. Absent where there are none, or where a
   * reader could not know what is yet to be committed.
   */
  readonly tables?: (table: Table) => Source
  /** The storage clock, in milliseconds since 1970. */
  readonly now: Effect.Effect<number, StorageUnavailable>
}>()("belfry/core/services/Storage") {}

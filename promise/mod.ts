/**
 * Tasks for programs of promises: any Standard Schema library, `AbortSignal`, and no Effect.
 *
 * ```ts
 * import { Schema } from "effect" // or zod, valibot, arktype, …
 * import { start, task, Trigger } from "belfry/promise"
 *
 * const greet = task("greet", {
 *   payload: Schema.toStandardSchemaV1(Schema.Struct({ name: Schema.String })),
 *   success: Schema.toStandardSchemaV1(Schema.String),
 * })
 *
 * const greeting = greet.handler(async ({ name }, { signal }) => {
 *   signal.throwIfAborted()
 *   return `Hello, ${name}!`
 * })
 *
 * await using belfry = await start({ storage: { sqlite: ":memory:" }, handlers: [greeting] })
 * await belfry.schedule(greet, "nightly", Trigger.cron("0 3 * * *"), { name: "night owls" })
 * console.log(await belfry.execute(greet, { name: "Ada" }))
 * ```
 */
export type { Belfry } from "./Belfry.ts"
export type { Breaker, Breakers } from "./Breakers.ts"
export type { Calendar, Calendars } from "./Calendars.ts"
export type { Waiting } from "./call.ts"
export type {
  Again,
  Happening,
  Log,
  LogLine,
  LogQuery,
  Notice,
  Query,
  Run,
  Runs,
  SaidProgress,
  Submit,
} from "./Runs.ts"
export type {
  Backfill,
  FilledIn,
  Fire,
  Slot,
  Tail,
  Trigger as TriggerView,
  Triggers,
} from "./Triggers.ts"
export { DeclaredError } from "./DeclaredError.ts"
export { type Before, type Earlier, earlier } from "./Earlier.ts"
export type { Group as GroupView, Groups } from "./Groups.ts"
export type { Held, Locks } from "./Locks.ts"
export type { Input, Output, StandardSchema } from "./StandardSchema.ts"
export {
  type CommonOptions,
  program,
  type ServerOption,
  start,
  type StartOptions,
  type StorageOption,
} from "./start.ts"
export {
  type Handler,
  type NoError,
  type NoPayload,
  type NoSuccess,
  type Outcome,
  type RunContext,
  type Task,
  task,
  type TaskHooks,
  type TaskOptions,
} from "./Task.ts"

export * as Blocking from "../core/domain/Blocking.ts"
export * as Group from "../core/domain/Group.ts"
export type { Ended } from "../core/engine/Handler.ts"
export type { Options as IsolatedOptions } from "../adapters/isolated/mod.ts"
export { Refused } from "../core/domain/Refused.ts"
export * as Retry from "../core/domain/Retry.ts"
export type { RunId } from "../core/domain/RunId.ts"
export * as Routing from "../core/domain/Routing.ts"
export { BacklogFull } from "../core/engine/Backlogs.ts"
export {
  type ChangeOptions,
  type OrderOptions,
  OrderRefused,
  type RollbackOptions,
  RunChanged,
  RunFailed,
  RunUnknown,
} from "../core/engine/Scheduler.ts"
export { BackfillCutOff } from "../core/engine/Asking.ts"
export { KeyConflict, type Sharding } from "../core/engine/Submitting.ts"
export * as Source from "./Source.ts"
export * as Trigger from "./Trigger.ts"
export { type BreakerOptions, type BreakerRef, BreakerUnknown } from "../core/engine/Breakers.ts"
export { type Cancelled, GroupUnknown } from "../core/engine/Groups.ts"
export { LockHeld, type LockOptions, type TryOptions } from "../core/engine/Locks.ts"
export { CalendarUnknown, TriggerUnknown } from "../core/engine/Triggers.ts"
export { LeaseLost } from "../core/services/Lock.ts"
export { JoinRefused } from "../core/services/Transport.ts"
export { StorageUnavailable } from "../core/services/StorageUnavailable.ts"

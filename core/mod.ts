/**
 * The scheduler itself, in the order a newcomer meets it: tasks, when they fire, what carries them
 * out, and what a run is. Storage, lock and transport come from `belfry/memory`, `belfry/sqlite`,
 * `belfry/postgres`, `belfry/redis`, `belfry/direct` and `belfry/rpc`.
 */
export * as Task from "./engine/Task.ts"
export * as Trigger from "./engine/Trigger.ts"
export * as Source from "./engine/Source.ts"
export * as Calendar from "./engine/Calendar.ts"
export * as Retry from "./domain/Retry.ts"
export * as Blocking from "./domain/Blocking.ts"
export * as Group from "./domain/Group.ts"
export * as Selector from "./domain/Selector.ts"
export * as Placement from "./domain/Placement.ts"
export * as Routing from "./domain/Routing.ts"
export { CurrentRun } from "./engine/CurrentRun.ts"
export { CurrentNamespace } from "./engine/CurrentNamespace.ts"
export { Beats } from "./engine/Beats.ts"
export { Isolation } from "./engine/Isolation.ts"
export { Executor } from "./engine/Executor.ts"
export {
  KeyConflict,
  OrderRefused,
  RunChanged,
  RunFailed,
  RunUnknown,
  Scheduler,
} from "./engine/Scheduler.ts"
export { CalendarUnknown, Triggers, TriggerUnknown } from "./engine/Triggers.ts"
export * as Actor from "./engine/Actor.ts"
export { BacklogFull } from "./engine/Backlogs.ts"
export { Breakers, BreakerUnknown } from "./engine/Breakers.ts"
export { Groups, GroupUnknown } from "./engine/Groups.ts"
export { LockHeld, Locks } from "./engine/Locks.ts"
export * as LocalOwnership from "./engine/LocalOwnership.ts"
export * as StandbyOwnership from "./engine/StandbyOwnership.ts"
export { Namespace } from "./domain/Namespace.ts"
export { Refused } from "./domain/Refused.ts"
export { RunId } from "./domain/RunId.ts"
export { TaskName } from "./domain/Task.ts"
export { Reason, RunHappening, RunView } from "./domain/RunView.ts"
export * as Vocabulary from "./domain/Vocabulary.ts"
export { TriggerChanged } from "./services/TriggerStorage.ts"
export { Required } from "./services/Required.ts"
export { Storage } from "./services/Storage.ts"
export { StorageUnavailable } from "./services/StorageUnavailable.ts"
export { LeaseLost, Lock } from "./services/Lock.ts"
export { Transport } from "./services/Transport.ts"
export { HintCarrier } from "./services/HintCarrier.ts"
export { Wakeups } from "./services/Wakeups.ts"
export { Registry } from "./services/Registry.ts"
export * as StorageRegistry from "./engine/StorageRegistry.ts"
export { Ownership } from "./services/Ownership.ts"

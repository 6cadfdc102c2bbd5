/**
 * One suite of tests per port, for whoever writes an adapter: each numbered law has its tests. They
 * bring the test runner along, so nothing that ships may import them.
 */
export * as CalendarStorageContract from "./CalendarStorageContract.ts"
export * as EngineContract from "./EngineContract.ts"
export * as ExecutorStorageContract from "./ExecutorStorageContract.ts"
export * as HistoryStorageContract from "./HistoryStorageContract.ts"
export * as LockContract from "./LockContract.ts"
export * as LocksContract from "./LocksContract.ts"
export * as LogStorageContract from "./LogStorageContract.ts"
export * as LossyTransport from "./LossyTransport.ts"
export * as OwnershipContract from "./OwnershipContract.ts"
export * as PermitStorageContract from "./PermitStorageContract.ts"
export * as RegistryContract from "./RegistryContract.ts"
export * as RunStorageContract from "./RunStorageContract.ts"
export * as StorageContract from "./StorageContract.ts"
export * as TaskStorageContract from "./TaskStorageContract.ts"
export * as TransferStorageContract from "./TransferStorageContract.ts"
export * as TransportContract from "./TransportContract.ts"
export * as TriggerStorageContract from "./TriggerStorageContract.ts"
export * as WakeupsContract from "./WakeupsContract.ts"
export { type Elapse, movableClock, type Options } from "./world.ts"

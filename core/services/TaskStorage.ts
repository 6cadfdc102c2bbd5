/**
 * Keeps task definitions.
 *
 * - **D1 latest.** The definition last defined for a name is the one that is listed.
 * - **D2 revision.** A definition that differs from the kept one raises the task's revision by one;
 *   an equal one changes nothing.
 */
import type { Effect, Option } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { TaskDefinition, TaskName } from "../domain/Task.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface DefinedTask {
  readonly definition: TaskDefinition
  readonly revision: number
}

export interface TaskStorage {
  readonly define: (
    definitions: ReadonlyArray<TaskDefinition>,
  ) => Effect.Effect<void, StorageUnavailable>

  readonly find: (
    namespace: Namespace,
    name: TaskName,
  ) => Effect.Effect<Option.Option<DefinedTask>, StorageUnavailable>

  /** By name. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<DefinedTask>, StorageUnavailable>
}

/**
 * Keeps task definitions.
 *
 * - **D1 latest.** The definition last defined for a name is the one that is listed, whole, the schemas
 *   of its payloads among it.
 * - **D2 revision.** A definition that differs from the kept one raises the task's revision by one;
 *   an equal one changes nothing.
 * - **D3 last.** Of each task the run that was carried out and ended last, of those looked at: so many
 *   of the latest, and so many before those that are held or wait first. So it costs the same however
 *   much has ended, and a backlog does not hide it.
 * - **D4 introduced.** What is introduced becomes the definition of its task where it has none, at revision
 *   1, and changes nothing where it has one, whoever else defines or introduces it at the same time.
 */
import type { Effect, Option } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { TaskDefinition, TaskName } from "../domain/Task.ts"
import type { Final } from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface DefinedTask {
  readonly definition: TaskDefinition
  readonly revision: number
}

/** How the last run of a task went. */
export interface LastRun {
  readonly task: TaskName
  readonly run: RunId
  readonly state: Final
  readonly attempt: number
  /** Instants in milliseconds since 1970: of its last grant, and of its end. */
  readonly claimedAt: number
  readonly finishedAt: number
  /** The beginning of its result as JSON text, or of what it failed by. */
  readonly said: string | undefined
}

/** So many runs are looked at from each place where the last may be. */
export const lookedAt = 64
/** So much of what it said is told. */
export const saidMax = 256

export interface TaskStorage {
  readonly define: (
    definitions: ReadonlyArray<TaskDefinition>,
  ) => Effect.Effect<void, StorageUnavailable>

  /** For who knows the task, and does not serve it (D4). */
  readonly introduce: (definition: TaskDefinition) => Effect.Effect<void, StorageUnavailable>

  readonly find: (
    namespace: Namespace,
    name: TaskName,
  ) => Effect.Effect<Option.Option<DefinedTask>, StorageUnavailable>

  /** By name. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<DefinedTask>, StorageUnavailable>

  /** Of the tasks of which there is one, in any order (D3). */
  readonly lasts: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<LastRun>, StorageUnavailable>
}

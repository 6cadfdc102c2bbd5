/**
 * A task is a named definition: which handler carries it out, and under which policies. All of it
 * is plain data, so it can be stored, shown, compared and edited; the handler is code and lives in
 * executors.
 */
import { Schema } from "effect"
import { Blocking } from "./Blocking.ts"
import { Level, usual } from "./Lane.ts"
import { Namespace } from "./Namespace.ts"
import { Retention } from "./Retention.ts"
import * as Retry from "./Retry.ts"

export const TaskName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$/, {
    message:
      "a task name has 1 to 127 characters: letters, digits, '.', '_', '/' or '-', the first a letter or digit",
  }),
).pipe(Schema.brand("TaskName"))
export type TaskName = typeof TaskName.Type

export const Policy = Schema.Struct({
  retry: Retry.Retry,
  /** An attempt that runs longer is interrupted and has timed out. */
  timeoutMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 * 86_400_000 })),
  ),
  blocking: Schema.optionalKey(Blocking),
  /** `at-most-once`: a run whose executor was lost after it started has failed. */
  delivery: Schema.Literals(["at-least-once", "at-most-once"]),
  /** How many lost executors a run survives before it is put into quarantine. */
  crashesMax: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  level: Level,
  /** For how long its runs are known after they ended; `Retention.usual` unless given. */
  retention: Schema.optionalKey(Retention),
})
export type Policy = typeof Policy.Type

export const usualPolicy: Policy = {
  retry: Retry.none,
  delivery: "at-least-once",
  crashesMax: 3,
  level: usual,
}

export class TaskDefinition extends Schema.Class<TaskDefinition>("TaskDefinition")({
  namespace: Namespace,
  name: TaskName,
  policy: Policy,
  owner: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256))),
  purpose: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(4096))),
}) {}

/**
 * A task is a named definition: which handler carries it out, and under which policies. All of it
 * is plain data, so it can be stored, shown, compared and edited; the handler is code and lives in
 * executors.
 */
import { Schema } from "effect"
import { Namespace } from "./Namespace.ts"
import { Policy } from "./Policy.ts"
import { TaskName } from "./TaskName.ts"

export { Policy, usualPolicy } from "./Policy.ts"
export { TaskName } from "./TaskName.ts"

export class TaskDefinition extends Schema.Class<TaskDefinition>("TaskDefinition")({
  namespace: Namespace,
  name: TaskName,
  policy: Policy,
  owner: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256))),
  purpose: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(4096))),
}) {}

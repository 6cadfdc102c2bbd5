/**
 * A task is a named definition: which handler carries it out, and under which policies. All of it
 * is plain data, so it can be stored, shown, compared and edited; the handler is code and lives in
 * executors.
 */
import { Schema } from "effect"
import { Namespace } from "./Namespace.ts"
import { PayloadSchemas } from "./PayloadSchema.ts"
import { Policy } from "./Policy.ts"
import { TaskName } from "./TaskName.ts"
import * as Text from "./Text.ts"

export { Policy, usualPolicy } from "./Policy.ts"
export { TaskName } from "./TaskName.ts"

/** What is done around a handler; `docs/executors.md` says when. */
export const HookName = Schema.Literals(["prepare", "rollback", "clean", "summary"])
export type HookName = typeof HookName.Type

export class TaskDefinition extends Schema.Class<TaskDefinition>("TaskDefinition")({
  namespace: Namespace,
  name: TaskName,
  policy: Policy,
  owner: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256), Text.kept)),
  purpose: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(4096), Text.kept)),
  /** How its payloads look, by version. */
  payloads: Schema.optionalKey(PayloadSchemas),
  /** Those its handler has, as the code that served it last says; nobody has said it where there is none. */
  hooks: Schema.optionalKey(Schema.Array(HookName)),
}) {}

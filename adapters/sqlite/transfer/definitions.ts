/** Definitions as text, as all tables keep them. */
import { Schema } from "effect"
import { Calendar } from "../../../core/domain/Calendar.ts"
import { TaskDefinition } from "../../../core/domain/Task.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"

const codecOf = <A>(schema: Schema.Codec<A, unknown>) => {
  const json = Schema.fromJsonString(schema)
  return { encode: Schema.encodeSync(json), decode: Schema.decodeSync(json) }
}
export const task = codecOf(TaskDefinition)
export const calendar = codecOf(Calendar)
export const trigger = codecOf(Trigger.TriggerDefinition)

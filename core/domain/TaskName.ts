/** What a task is called. */
import { Schema } from "effect"

export const TaskName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$/, {
    message:
      "a task name has 1 to 127 characters: letters, digits, '.', '_', '/' or '-', the first a letter or digit",
  }),
).pipe(Schema.brand("TaskName"))
export type TaskName = typeof TaskName.Type

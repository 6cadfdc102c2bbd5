/** Payloads that come as JSON are looked at before anything is stored: would the task's code read them? */
import { Effect, Option, Result } from "effect"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as PayloadSchema from "../../core/domain/PayloadSchema.ts"
import { Refused } from "../../core/domain/Refused.ts"
import type { TaskDefinition, TaskName } from "../../core/domain/Task.ts"
import type { TaskStorage } from "../../core/services/TaskStorage.ts"
import { payloadBytesMax } from "../../core/engine/Submitting.ts"
import { refusal } from "./answers.ts"
import * as Problems from "./Problems.ts"

const bytesOf = (payload: unknown) => new TextEncoder().encode(JSON.stringify(payload)).length

/** Refuses a payload that is too large, or that no executor could read which has this definition. */
export const fits = ({ name, payloads }: TaskDefinition, payload: unknown) => {
  const bytes = bytesOf(payload)
  if (bytes > payloadBytesMax) {
    return Effect.fail(
      new Problems.BodyTooLarge({
        detail: `The JSON of the payload takes ${bytes} bytes, more than ${payloadBytesMax}.`,
        remedy: "Keep the data elsewhere and submit where it is.",
      }),
    )
  }
  return Effect.fromResult(Result.mapError(
    PayloadSchema.check(payloads, payload),
    ({ field, reason, remedy }) => {
      const place = `its schema is at /tasks/${
        encodeURIComponent(name)
      }, and in belfry task show ${name}`
      return refusal(new Refused({ field, reason, remedy: `${remedy}; ${place}` }))
    },
  ))
}

/** As `fits`, of a task that may not be known yet: then it is left to whoever brings it. */
export const fitsTask = Effect.fnUntraced(function* (
  tasks: TaskStorage,
  namespace: Namespace,
  name: TaskName,
  payload: unknown,
) {
  const task = yield* tasks.find(namespace, name)
  if (Option.isSome(task)) yield* fits(task.value.definition, payload)
})

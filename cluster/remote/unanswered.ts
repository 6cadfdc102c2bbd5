/** What the calls of the REST API fail with, in the words of the core. */
import { Effect, Schema } from "effect"
import * as Objection from "../../core/domain/Objection.ts"
import { Refused } from "../../core/domain/Refused.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"

/** The server did not answer, or could not: to whoever called, the storage is out of reach. */
export const unanswered = (operation: string) => (cause: unknown) =>
  new StorageUnavailable({ storage: "the server", operation, cause })

interface Refusal {
  readonly _tag: string
  readonly detail: string
  readonly field: string
  readonly reason: string
  readonly remedy: string
}

const refusals = ["RequestRefused", "RequestUnreadable", "TaskUnknown", "CalendarInUse"]

/** `Refused` for what would be refused again, `StorageUnavailable` for all else. */
export const refusedOr = (operation: string) => <E>(error: E): Refused | StorageUnavailable => {
  // It was not sent: the server would refuse it.
  if (Schema.isSchemaError(error)) {
    const { path, reason, remedy } = Objection.first(error.issue)
    return new Refused({ field: Objection.fieldOf(path), reason, remedy })
  }
  const { _tag, detail, field, reason, remedy } = error as unknown as Refusal
  if (_tag === "BodyTooLarge") return new Refused({ field: "payload", reason: detail, remedy })
  return refusals.includes(_tag)
    ? new Refused({ field, reason, remedy })
    : unanswered(operation)(error)
}

/** Turns the problem with this tag into an error of the core's, and all others into an outage. */
export const unless = <E2>(operation: string, tag: string, known: () => E2) =>
<A, E, R>(
  call: Effect.Effect<A, E, R>,
): Effect.Effect<A, E2 | StorageUnavailable, R> =>
  Effect.mapError(
    call,
    (error) =>
      (error as { readonly _tag?: string })._tag === tag ? known() : unanswered(operation)(error),
  )

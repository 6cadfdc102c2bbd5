/**
 * Submits in the caller's own transaction: the run exists if and when that commits, and is looked for
 * right after.
 *
 * It needs a `SqlClient` on the database that has the schema, and the right to call its `submit`;
 * nothing else of this adapter.
 */
import { Effect } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import type { Level } from "../../core/domain/Lane.ts"
import { Refused } from "../../core/domain/Refused.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import { type Config, type DatabaseUnfit, schemaOf } from "./Pg.ts"

export interface TransactionalSubmit extends Pick<Config, "schema"> {
  readonly namespace?: string
  readonly idempotencyKey?: string
  readonly delayMillis?: number
  /** It has expired if it was not begun so long after now. */
  readonly deadlineMillis?: number
  readonly level?: Level
  /** Who asks for it by hand, as is told with the run and its events. */
  readonly by?: string
}

/** What `task.submission(payload)` answers. */
interface Submission {
  readonly task: TaskName
  readonly payload: string
  readonly blockingKey?: string | undefined
  readonly idempotencyKey?: string | undefined
}

export const submit = Effect.fnUntraced(function* (
  { blockingKey, idempotencyKey, payload, task }: Submission,
  { schema, ...options }: TransactionalSubmit = {},
): Effect.fn.Return<
  RunId,
  Refused | DatabaseUnfit | SqlError.SqlError,
  SqlClient.SqlClient
> {
  const sql = yield* SqlClient.SqlClient
  const inSchema = yield* schemaOf(schema === undefined ? {} : { schema })
  const given = JSON.stringify({ idempotencyKey, ...options, blockingKey })
  const [row] = yield* sql<{ readonly run: string }>`
    SELECT ${sql(inSchema)}.submit(${task}, ${payload}::text::jsonb, ${given}::text::jsonb)::text
      AS run`.pipe(Effect.mapError((error) => refusalOf(error) ?? error))
  return Number(row!.run) as RunId
})

interface Said {
  readonly code?: string
  readonly column?: string
  readonly message?: string
  readonly hint?: string
}

const refused = ["22023", "P0002", "23505"]

/** What the function says of its own accord; anything else is the database's. */
const refusalOf = (error: SqlError.SqlError): Refused | undefined => {
  const said = saidIn(error)
  return said?.column === undefined || !refused.includes(said.code ?? "")
    ? undefined
    : new Refused({
      field: said.column,
      reason: (said.message ?? "it was refused").replace(/^belfry refused \w+: /, ""),
      remedy: said.hint ?? "See the message",
    })
}

/** The driver keeps it a few causes deep. */
const saidIn = (error: unknown): Said | undefined => {
  for (let at = error, depth = 0; at !== undefined && at !== null && depth < 6; depth++) {
    const { cause, column, reason } = at as Said & { readonly cause?: unknown; reason?: unknown }
    if (column !== undefined) return at as Said
    at = cause ?? reason
  }
  return undefined
}

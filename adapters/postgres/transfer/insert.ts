/** How rows come into a table, so many in one statement. */
import { Effect } from "effect"
import type { StorageUnavailable } from "../../../core/services/StorageUnavailable.ts"
import { type Ask, texts } from "../Pg.ts"

export type Columns = Readonly<Record<string, string>>

/** Rows of a table, in order. `also`: columns by what they are made of, which may take `more`. */
export const insert = (
  ask: Ask,
  table: string,
  columns: Columns,
  rows: ReadonlyArray<Readonly<Record<string, unknown>>>,
  options: {
    readonly more?: Columns
    readonly also?: Columns
    readonly from?: string
    readonly isNumbered?: boolean
  } = {},
): Effect.Effect<void, StorageUnavailable> => {
  if (rows.length === 0) return Effect.void
  const { also = {}, from = "", isNumbered = false, more = {} } = options
  const given = Object.entries({ ...columns, ...more }).map(([name, type]) => `"${name}" ${type}`)
  const names = [...Object.keys(columns), ...Object.keys(also)].map((name) => `"${name}"`)
  const values = [...Object.keys(columns).map((name) => `x."${name}"`), ...Object.values(also)]
  return Effect.asVoid(ask(
    `INSERT INTO ${table} (${names.join(", ")}) ${isNumbered ? "OVERRIDING SYSTEM VALUE" : ""}
     SELECT ${values.join(", ")} FROM json_to_recordset($1::json) AS x(${
      given.join(", ")
    }) ${from}`,
    [JSON.stringify(rows)],
  ))
}

/** Names are numbered before the rows that refer to them. */
export const addNamespaces = (ask: Ask, names: ReadonlyArray<string>) =>
  ask("INSERT INTO namespace (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING", [
    texts(names),
  ])

export const ofNamespace = "JOIN namespace n ON n.name = x.namespace_name"

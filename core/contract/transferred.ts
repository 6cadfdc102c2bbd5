/**
 * What a schema has, beside what an export takes: a table or a column that nobody has thought of is
 * lost by whoever moves.
 */
import { assert } from "@effect/vitest"

export interface Schema {
  /** Tables by name, with the columns that are moved, a blank between them. */
  readonly moved: Readonly<Record<string, string>>
  /** Tables, or columns of those moved, that stay where they are, and why they may. */
  readonly stays: Readonly<Record<string, string>>
}

/** `found` are the tables of a database, with their columns. */
export const assertTransferred = (
  found: ReadonlyMap<string, ReadonlyArray<string>>,
  { moved, stays }: Schema,
  adapter: string,
): void => {
  const lost = [...found].flatMap(([table, columns]) => {
    if (table in stays) return []
    const known = moved[table]?.split(/\s+/)
    if (known === undefined) return [table]
    return columns.filter((column) => !known.includes(column)).map((each) => `${table}.${each}`)
      .filter((each) => !(each in stays))
  })
  const gone = [...Object.keys(moved), ...Object.keys(stays)]
    .filter((each) => !found.has(each.split(".")[0]!))
  assert.deepEqual(
    { lost, gone },
    { lost: [], gone: [] },
    "`belfry export` and `import` would lose what is in `lost`. Either give it a record or a field " +
      "in core/domain/StateRecord.ts (optional, or raise `version`), carry it in the MemoryTransfer, " +
      `SqliteTransfer and PgTransfer, add some of it to core/contract/transfer/furnished.ts, and ` +
      `name it under \`moved\` in the test of ${adapter}; or, if it can be derived or is of this ` +
      "database alone, name it under `stays` there with the reason. What is in `gone` is no more: " +
      "take it from the list.",
  )
}

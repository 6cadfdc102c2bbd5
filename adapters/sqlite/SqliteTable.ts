/**
 * A table in SQLite as a source: its rows are entries, as they are inserted.
 *
 * SQLite lets one write at a time, so a row that is committed later has a higher number, provided that
 * numbers are never given twice: the table has to say AUTOINCREMENT.
 */
import { DatabaseSync } from "node:sqlite"
import { Effect } from "effect"
import { type Reader, type Source, SourceUnavailable } from "../../core/services/Source.ts"

export interface TableOptions {
  readonly file: string
  readonly table: string
}

/** Of any file. It is opened for reading alone. */
export const table = ({ file, table }: TableOptions): Source => {
  const source = `table ${table} of ${file}`
  const fail = (reason: string, remedy?: string) =>
    new SourceUnavailable({ source, reason, ...(remedy !== undefined && { remedy }) })
  const attempt = <A>(read: () => A): Effect.Effect<A, SourceUnavailable> =>
    Effect.try({
      try: read,
      catch: (cause) =>
        cause instanceof SourceUnavailable
          ? cause
          : fail(cause instanceof Error ? cause.message : String(cause)),
    })

  const open = Effect.gen(function* () {
    const db = yield* Effect.acquireRelease(
      attempt(() => new DatabaseSync(file, { readOnly: true })),
      (db) => Effect.sync(() => db.close()),
    )
    const id = yield* attempt(() => idOf(db, table, fail))
    const named = quoted(table)
    const select = yield* attempt(() => {
      const read = db.prepare(
        `SELECT * FROM ${named} WHERE ${quoted(id)} > ? ORDER BY ${quoted(id)} LIMIT ?`,
      )
      // Otherwise a row with a number past 2^53 cannot be read at all.
      read.setReadBigInts(true)
      return read
    })
    const last = yield* attempt(() => db.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?"))
    const end = () => Number(last.get(table)?.["seq"] ?? 0)

    const reader: Reader = {
      read: (after, limit) =>
        attempt(() => {
          const from = after === "" ? 0 : Number(after)
          const rows = select.all(from, limit)
          if (rows.length === 0 && end() < from) {
            throw fail(
              `its last row is ${end()}, and ${from} has been read: it was made anew`,
              "Bring back the file, or tail it under another name",
            )
          }
          const entries = rows.map((row) => ({
            position: `${row[id]}`,
            value: Object.fromEntries(
              Object.entries(row).map(([name, value]) => [name, jsonOf(value)]),
            ),
          }))
          return {
            entries,
            to: entries.at(-1)?.position ?? after,
            isAtEnd: entries.length < limit,
          }
        }),
      end: attempt(() => `${end()}`),
    }
    return reader
  })
  return { name: source, open }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** The column that numbers the rows. */
const idOf = (
  db: DatabaseSync,
  table: string,
  fail: (reason: string, remedy?: string) => SourceUnavailable,
): string => {
  const made = db.prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?")
    .get(table)
  if (made === undefined) throw fail("there is no such table")
  const [id] = db.prepare("SELECT name FROM pragma_table_info(?) WHERE pk = 1").all(table)
  if (id === undefined || !/\bAUTOINCREMENT\b/i.test(String(made["sql"]))) {
    throw fail(
      "its numbers may be given twice, and then a row would be passed by",
      "Make it with INTEGER PRIMARY KEY AUTOINCREMENT",
    )
  }
  return String(id["name"])
}

/** Bytes are told in Base64, and integers that are no number of JavaScript as text. */
const jsonOf = (value: unknown): unknown => {
  if (typeof value === "bigint") {
    return `${Number(value)}` === `${value}` ? Number(value) : `${value}`
  }
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value
}

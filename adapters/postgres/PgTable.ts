/**
 * A table in PostgreSQL as a source: its rows are entries, as they are inserted.
 *
 * Numbers from a sequence do not say what is safe: whoever takes one may commit long after others have
 * taken later ones. So the table has a column with the number of the transaction that wrote the row,
 * by which rows are read in order, and only below the oldest transaction that is under way. Whatever
 * commits later has a higher number. A table without that column is refused.
 *
 * The column is also the owner's word that rows may be read: nobody can have another table tailed by
 * naming it.
 */
import { PgPool } from "@effect/sql-pg"
import { Duration, Effect, type Redacted } from "effect"
import type { Table } from "../../core/domain/Tailing.ts"
import { type Reader, type Source, SourceUnavailable } from "../../core/services/Source.ts"
import { exactJson } from "./exactJson.ts"
import { connection, type Row } from "./Pg.ts"

/** Carries out one statement. */
export type Ask = <R extends Row>(
  text: string,
  params: ReadonlyArray<unknown>,
) => Effect.Effect<ReadonlyArray<R>, unknown>

export interface Config extends Table {
  readonly url: Redacted.Redacted
}

/** Of any database, over a connection of its own. */
export const table = ({ url, ...of }: Config): Source => ({
  name: `table ${of.table}`,
  open: Effect.flatMap(
    PgPool.make({
      ...connection({ url }, "public", "tail"),
      maxConnections: 1,
      minConnections: 0,
      idleTimeout: Duration.minutes(1),
    }).pipe(Effect.mapError(unavailable(of))),
    (pool) =>
      read(of, <R extends Row>(text: string, params: ReadonlyArray<unknown>) =>
        Effect.map(
          pool.use((connection) => connection.query(text, params)),
          ({ rows }) => rows as ReadonlyArray<R>,
        )),
  ),
})

/** Over connections that there are. */
export const tableOver = (ask: Ask) => (of: Table): Source => ({
  name: `table ${of.table}`,
  open: read(of, ask),
})

const unavailable = ({ table }: Table) => (error: unknown) =>
  error instanceof SourceUnavailable ? error : new SourceUnavailable({
    source: `table ${table}`,
    reason: messageOf(error),
  })

/** What the server said is some causes deep. */
const messageOf = (error: unknown): string => {
  let deepest = error
  for (
    let depth = 0;
    depth < 5 && deepest instanceof Error && deepest.cause !== undefined;
    depth++
  ) {
    deepest = deepest.cause
  }
  return deepest instanceof Error ? deepest.message : String(deepest)
}

interface Shape extends Row {
  readonly name: string
  readonly id: string | null
  readonly id_type: string | null
  readonly xid: string | null
  readonly is_xid: boolean
  readonly is_filled: boolean
  readonly is_indexed: boolean
}

const selectShape = `
  SELECT c.oid::regclass::text AS name, quote_ident(i.attname) AS id,
    format_type(i.atttypid, i.atttypmod) AS id_type, quote_ident(x.attname) AS xid,
    coalesce(x.atttypid = 'xid8'::regtype, false) AS is_xid,
    coalesce(x.attnotnull AND i.attnotnull
      AND pg_get_expr(d.adbin, d.adrelid) = 'pg_current_xact_id()', false) AS is_filled,
    EXISTS (SELECT FROM pg_index n WHERE n.indrelid = c.oid AND n.indisvalid AND n.indpred IS NULL
      AND n.indkey[0] = x.attnum AND n.indkey[1] = i.attnum) AS is_indexed
  FROM pg_class c
  LEFT JOIN pg_attribute i ON i.attrelid = c.oid AND i.attname = $2 AND NOT i.attisdropped
  LEFT JOIN pg_attribute x ON x.attrelid = c.oid AND x.attname = $3 AND NOT x.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = x.attnum
  WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')`

interface RowRow extends Row {
  readonly xid: string
  readonly id: string
  readonly row: string
}

const read = Effect.fnUntraced(function* (of: Table, ask: Ask) {
  const { id = "id", table, transaction = "xid" } = of
  const fail = (reason: string, remedy: string) =>
    Effect.fail(new SourceUnavailable({ source: `table ${table}`, reason, remedy }))
  const asked = <R extends Row>(text: string, params: ReadonlyArray<unknown> = []) =>
    Effect.mapError(ask<R>(text, params), unavailable(of))

  const [shape] = yield* asked<Shape>(selectShape, [table, id, transaction])
  if (shape === undefined) {
    return yield* fail(
      "there is no such table, or this role may not see it",
      "Name it with its schema, as in public.orders",
    )
  }
  if (shape.id === null) {
    return yield* fail(`it has no column "${id}"`, "Name the column that tells its rows apart")
  }
  if (!shape.is_xid || !shape.is_filled) {
    return yield* fail(
      `its column "${transaction}" does not say which transaction wrote a row, and without that ` +
        "nobody can know what is yet to be committed",
      `ALTER TABLE ${shape.name} ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()`,
    )
  }
  if (!shape.is_indexed) {
    return yield* fail(
      "it has no index by which its rows can be read on",
      `CREATE INDEX ON ${shape.name} (${shape.xid}, ${shape.id})`,
    )
  }
  const { name, xid } = shape
  const [later] = yield* asked<{ readonly xid: string | null }>(
    `SELECT (SELECT max FROM (SELECT t.${xid} AS max FROM ${name} t
       ORDER BY t.${xid} DESC, t.${shape.id} DESC LIMIT 1) l
       WHERE max >= pg_snapshot_xmax(pg_current_snapshot()))::text AS xid`,
  )
  if (later!.xid !== null) {
    return yield* fail(
      `it has rows of transaction ${later!.xid}, which this server has yet to come to: they were ` +
        "written on another one",
      `UPDATE ${name} SET ${xid} = '0' WHERE ${xid} >= pg_snapshot_xmax(pg_current_snapshot()), ` +
        "and tail it from where it was",
    )
  }

  const columns = `t.${xid}::text AS xid, t.${shape.id}::text AS id`
  const safe = `t.${xid} < pg_snapshot_xmin(pg_current_snapshot())`
  const after = `(t.${xid}, t.${shape.id}) > ($2::xid8, $3::${shape.id_type})`
  const select = (more: string) =>
    `SELECT ${columns}, (to_jsonb(t) - '${transaction.replaceAll("'", "''")}')::text AS row
     FROM ${name} t WHERE ${safe} ${more} ORDER BY t.${xid}, t.${shape.id} LIMIT $1`

  const reader: Reader = {
    read: Effect.fnUntraced(function* (position, limit) {
      const place = position === "" ? undefined : placeOf(position)
      const rows = yield* asked<RowRow>(
        select(place === undefined ? "" : `AND ${after}`),
        place === undefined ? [limit] : [limit, ...place],
      )
      const entries = rows.map((row) => ({
        position: `${row.xid},${row.id}`,
        value: exactJson(row.row),
      }))
      return {
        entries,
        to: entries.at(-1)?.position ?? position,
        isAtEnd: entries.length < limit,
      }
    }),
    end: Effect.map(
      asked<RowRow>(
        `SELECT ${columns} FROM ${name} t WHERE ${safe}
         ORDER BY t.${xid} DESC, t.${shape.id} DESC LIMIT 1`,
      ),
      ([row]) => row === undefined ? "" : `${row.xid},${row.id}`,
    ),
  }
  return reader
})

const placeOf = (position: string): readonly [xid: string, id: string] => {
  const at = position.indexOf(",")
  return [position.slice(0, at), position.slice(at + 1)]
}

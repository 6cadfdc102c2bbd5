/**
 * A trigger that tails a source: a table, a file or a stream, whose entries come in an order of their
 * own. Each entry that it wants makes one run. It has no instants, but a position.
 */
import { Schema } from "effect"
import { Condition } from "./Condition.ts"
import * as Text from "./Text.ts"

const identifier = Schema.NonEmptyString.check(Schema.isMaxLength(128), Text.kept)

/** A table in the database of the storage, of which the storage itself can tell what is safe. */
export const Table = Schema.Struct({
  /** With its schema, as in `public.orders`. */
  table: identifier,
  /** The column that tells its rows apart; `id` unless named. */
  id: Schema.optionalKey(identifier),
  /** The column with the number of the transaction that wrote the row; `xid` unless named. */
  transaction: Schema.optionalKey(identifier),
})
export type Table = typeof Table.Type

/** `skip`: it is recorded and passed over. `stop`: nothing after it is taken until it can be read. */
export const Unreadable = Schema.Literals(["skip", "stop"])
export type Unreadable = typeof Unreadable.Type

export const fields = {
  /** What a program brings under this name, and tails itself; or a table that whoever fires tails. */
  source: Schema.Union([identifier, Table]),
  /** Where it begins; from then on its position counts. */
  from: Schema.Literals(["beginning", "end"]),
  unreadable: Unreadable,
  /** What an entry must be; all are wanted unless named. */
  when: Schema.optionalKey(Condition),
}
const Rule = Schema.Struct(fields)
export type Rule = typeof Rule.Type

/** A position belongs to one source, known by this. */
export const keyOf = ({ source }: Rule): string =>
  typeof source === "string"
    ? `program ${source}`
    : `table ${JSON.stringify([source.table, source.id ?? "id", source.transaction ?? "xid"])}`

/** How far a trigger has come. Numbers are of all its entries, for ever. */
export const Tail = Schema.Struct({
  /** All up to here has been taken; absent before the first reading. */
  position: Schema.optionalKey(Schema.String),
  /** Entries that made a run, that none was wanted for, and that could not be read. */
  fired: Schema.Int,
  passed: Schema.Int,
  skipped: Schema.Int,
  /** When it last came further. */
  movedAt: Schema.optionalKey(Schema.Int),
  /** What was there at this instant has been taken: so far it lags behind. */
  upTo: Schema.optionalKey(Schema.Int),
  /** Why it does not come further, and since when. */
  failure: Schema.optionalKey(Schema.String),
  failingSince: Schema.optionalKey(Schema.Int),
})
export type Tail = typeof Tail.Type

/** A tail as SQL keeps it; of what is absent the column is null. */
export interface Row {
  readonly position: string | null
  readonly fired: number
  readonly passed: number
  readonly skipped: number
  readonly moved_at: number | null
  readonly up_to: number | null
  readonly failure: string | null
  readonly failing_since: number | null
}

export const ofRow = (row: Row): Tail => ({
  fired: row.fired,
  passed: row.passed,
  skipped: row.skipped,
  ...(row.position !== null && { position: row.position }),
  ...(row.moved_at !== null && { movedAt: row.moved_at }),
  ...(row.up_to !== null && { upTo: row.up_to }),
  ...(row.failure !== null && { failure: row.failure }),
  ...(row.failing_since !== null && { failingSince: row.failing_since }),
})

/** Its columns in the order of `Row`, by their names. */
export const rowOf = (tail: Tail): Row => ({
  position: tail.position ?? null,
  fired: tail.fired,
  passed: tail.passed,
  skipped: tail.skipped,
  moved_at: tail.movedAt ?? null,
  up_to: tail.upTo ?? null,
  failure: tail.failure ?? null,
  failing_since: tail.failingSince ?? null,
})

export const untouched: Tail = { fired: 0, passed: 0, skipped: 0 }

/** What one reading came to. */
export interface Move {
  readonly to: string | undefined
  readonly fired: number
  readonly passed: number
  readonly skipped: number
  /** So long ago all up to `to` was all that there was; absent if there was more. */
  readonly endedMillisAgo: number | undefined
  readonly failure: string | undefined
}

/** The tail after a move at `now`. */
export const moved = (tail: Tail, move: Move, now: number): Tail => {
  const { failingSince, failure: _, movedAt, upTo, ...rest } = tail
  const { endedMillisAgo, failure, to } = move
  const reached = endedMillisAgo === undefined
    ? upTo
    // Instants are whole milliseconds, and what measures the reading has parts of them.
    : Math.max(upTo ?? -Infinity, now - Math.ceil(endedMillisAgo))
  const lastMove = to === tail.position ? movedAt : now
  return {
    ...rest,
    ...(to !== undefined && { position: to }),
    fired: tail.fired + move.fired,
    passed: tail.passed + move.passed,
    skipped: tail.skipped + move.skipped,
    ...(lastMove !== undefined && { movedAt: lastMove }),
    ...(reached !== undefined && { upTo: reached }),
    ...(failure !== undefined && { failure, failingSince: failingSince ?? now }),
  }
}

/** Another source begins anew; what has been counted stays. */
export const renewed = ({ fired, passed, skipped }: Tail): Tail => ({ fired, passed, skipped })

/** A position is compared and kept, so it has a bound. */
export const positionMax = 1024

/** Of a trigger that many records of entries are kept, the latest. */
export const recordsMax = 10_000

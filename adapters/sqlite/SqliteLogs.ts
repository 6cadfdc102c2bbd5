/** What runs say, in SQLite: see `LogStorage` for the laws. */
import { DateTime, Effect, Option, Schema } from "effect"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import { linesAfter, SaidLine } from "../../core/domain/LogLine.ts"
import { Progress } from "../../core/domain/Progress.ts"
import {
  charsMax,
  charsOf,
  type LogPage,
  type LogQuery,
  type LogStorage,
  type Told,
} from "../../core/services/LogStorage.ts"
import type { Database, Transaction } from "./Database.ts"
import { rowOf } from "./RunRows.ts"

const Lines = Schema.fromJsonString(Schema.Array(SaidLine))
const encodeLines = Schema.encodeSync(Lines)
const decodeLines = Schema.decodeSync(Lines)
const Json = Schema.fromJsonString(Progress)
const encodeProgress = Schema.encodeSync(Json)
const decodeProgress = Schema.decodeSync(Json)

/** A page is made of at most so many rows. */
const rowsMax = 100

export const make = (db: Database): LogStorage => ({
  append: (incarnation, told) =>
    db.write("append", (tx) => {
      for (const each of told) append(tx, incarnation, each)
    }),
  read: (query) => db.read("read log", () => read(db, query)),
  progress: (run) =>
    Effect.map(
      db.read(
        "progress",
        () => db.get<ProgressRow>("SELECT * FROM progress WHERE run = ?", run),
      ),
      (row) =>
        Option.map(Option.fromUndefinedOr(row), ({ at, fence, sequence, value }) => ({
          ...decodeProgress(value),
          fence,
          sequence,
          at: DateTime.makeUnsafe(at),
        })),
    ),
})

interface ProgressRow {
  readonly fence: Fence
  readonly sequence: number
  readonly at: number
  readonly value: string
}

const append = (tx: Transaction, incarnation: Incarnation, told: Told): void => {
  const { db, now } = tx
  const { fence, first, lines, progress, run } = told
  const row = rowOf(db, run)
  if (row === undefined || fence > row.fence) return
  const isHeld = row.state === "Running" && row.fence === fence &&
    row.incarnation === incarnation
  if (progress !== undefined && isHeld) {
    const { sequence, ...value } = progress
    db.run(
      `INSERT INTO progress VALUES (?, ?, ?, ?, ?) ON CONFLICT (run)
       DO UPDATE SET fence = excluded.fence, sequence = excluded.sequence, at = excluded.at,
         value = excluded.value
       WHERE (excluded.fence, excluded.sequence) > (progress.fence, progress.sequence)`,
      run,
      fence,
      sequence,
      now,
      encodeProgress(value),
    )
  }
  if (lines.length === 0) return
  const last = db.get<{ fence: number; first: number; chars: number }>(
    "SELECT fence, first, chars FROM log WHERE run = ? ORDER BY fence DESC, first DESC LIMIT 1",
    run,
  )
  const chars = (last?.chars ?? 0) + charsOf(told)
  if (last !== undefined && chars > charsMax) {
    db.run(
      "UPDATE log SET is_cut = 1 WHERE run = ? AND fence = ? AND first = ?",
      run,
      last.fence,
      last.first,
    )
    return
  }
  db.run(
    `INSERT INTO log (run, fence, first, last, at, chars, lines) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO NOTHING`,
    run,
    fence,
    first,
    first + lines.length - 1,
    now,
    chars,
    encodeLines(lines),
  )
}

interface LogRow {
  readonly fence: Fence
  readonly first: number
  readonly at: number
  readonly lines: string
}

const read = (db: Database, { after, limit, run }: LogQuery): LogPage => {
  const rows = db.all<LogRow>(
    `SELECT fence, first, at, lines FROM log WHERE run = ? AND fence >= ?
       AND (fence, last) > (?, ?)
     ORDER BY fence, first LIMIT ${rowsMax}`,
    run,
    after?.fence ?? 0,
    after?.fence ?? 0,
    after?.number ?? 0,
  )
  const cut = db.get("SELECT 1 FROM log WHERE run = ? AND is_cut = 1 LIMIT 1", run)
  const parts = rows.values().map((row) => ({ ...row, lines: decodeLines(row.lines) }))
  return { lines: linesAfter(parts, after, limit), isCut: cut !== undefined }
}

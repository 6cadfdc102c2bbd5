/** Answers in PostgreSQL: see `AnswerStorage` for the laws. */
import { Effect } from "effect"
import { type Kept, keptMillis, leavingMax, standing } from "../../core/domain/Answer.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import type { Pg } from "./Pg.ts"

interface AnswerRow {
  readonly [column: string]: unknown
  readonly digest: string
  readonly beginner: string | null
  readonly begun_at: number
  readonly answer: string | null
  readonly now: number
}

export const make = (pg: Pg): AnswerStorage => {
  const begin: AnswerStorage["begin"] = Effect.fnUntraced(function* (key, order, beginner) {
    for (;;) {
      const [row] = yield* pg.query<AnswerRow>("writes", "begin an order", select, [key])
      if (row !== undefined) {
        const known = standing(keptOf(row), order, beginner, row.now)
        if (known._tag !== "Begun") return known
      }
      // Before: what comes after it is begun could fail, and would leave it to nobody.
      yield* Effect.ignore(
        pg.query("writes", "let go of answers", letGo, [keptMillis, leavingMax]),
      )
      const [begun] = yield* pg.query("writes", "begin an order", insert, [
        key,
        order,
        beginner,
        keptMillis,
      ])
      if (begun !== undefined) return { _tag: "Begun" }
    }
  })

  return {
    begin,
    keep: (key, beginner, answer) =>
      Effect.asVoid(pg.query("writes", "keep an answer", keep, [key, beginner, answer])),
    giveUp: (key, beginner) =>
      Effect.asVoid(pg.query("writes", "give an order up", giveUp, [key, beginner])),
    count: Effect.map(
      pg.query<{ readonly count: number }>(
        "reads",
        "count answers",
        "SELECT count(*)::int AS count FROM answer",
        [],
      ),
      ([row]) => row!.count,
    ),
  }
}

const keptOf = (row: AnswerRow): Kept => ({
  order: row.digest,
  beginner: row.beginner ?? undefined,
  begunAt: row.begun_at,
  answer: row.answer ?? undefined,
})

const select = `
  SELECT digest, beginner, begun_at::float8 AS begun_at, answer, clock()::float8 AS now
  FROM answer WHERE key = $1`

/**
 * Of those who begin at once the first has it, and the others look again. Whoever meets what it has
 * written itself, and has not heard of, has it.
 */
const insert = `
  INSERT INTO answer (begun_at, key, digest, beginner) VALUES (clock(), $1, $2, $3)
  ON CONFLICT (key) DO UPDATE
  SET begun_at = excluded.begun_at, digest = excluded.digest, beginner = excluded.beginner,
    answer = NULL
  WHERE answer.begun_at + $4 <= excluded.begun_at
    OR (answer.beginner = excluded.beginner AND answer.answer IS NULL)
  RETURNING 1 AS is_begun`

/** Those that somebody else lets go of now are left to them. */
const letGo = `
  DELETE FROM answer WHERE key = ANY (ARRAY(
    SELECT key FROM answer WHERE begun_at <= clock() - $1 ORDER BY begun_at LIMIT $2
    FOR UPDATE SKIP LOCKED))`

const keep = `UPDATE answer SET answer = $3 WHERE key = $1 AND beginner = $2 AND answer IS NULL`
const giveUp = `DELETE FROM answer WHERE key = $1 AND beginner = $2 AND answer IS NULL`

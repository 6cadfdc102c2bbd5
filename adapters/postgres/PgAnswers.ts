/** Answers in PostgreSQL: see `AnswerStorage` for the laws. */
import { Effect } from "effect"
import { keptMillis, leavingMax, type Standing, standing } from "../../core/domain/Answer.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Pg } from "./Pg.ts"

interface AnswerRow {
  readonly [column: string]: unknown
  readonly digest: string
  readonly begun_at: number
  readonly answer: string | null
  readonly now: number
}

export const make = (pg: Pg): AnswerStorage => {
  const begin: (key: string, order: string) => Effect.Effect<Standing, StorageUnavailable> = Effect
    .fnUntraced(function* (key, order) {
      for (;;) {
        const [row] = yield* pg.query<AnswerRow>("writes", "begin an order", select, [key])
        if (row !== undefined) {
          const kept = { order: row.digest, begunAt: row.begun_at, answer: row.answer ?? undefined }
          const known = standing(kept, order, row.now)
          if (known._tag !== "Begun") return known
        }
        const [begun] = yield* pg.query("writes", "begin an order", insert, [
          key,
          order,
          keptMillis,
        ])
        if (begun === undefined) continue
        yield* pg.query("writes", "let go of answers", letGo, [keptMillis, leavingMax])
        return { _tag: "Begun" }
      }
    })

  return {
    begin,
    keep: (key, order, answer) =>
      Effect.asVoid(pg.query("writes", "keep an answer", keep, [key, order, answer])),
    giveUp: (key, order) =>
      Effect.asVoid(pg.query("writes", "give an order up", giveUp, [key, order])),
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

const select = `
  SELECT digest, begun_at::float8 AS begun_at, answer, clock()::float8 AS now FROM answer
  WHERE key = $1`

/** Of those who begin at once the first has it, and the others look again. */
const insert = `
  INSERT INTO answer (begun_at, key, digest) VALUES (clock(), $1, $2)
  ON CONFLICT (key) DO UPDATE
  SET begun_at = excluded.begun_at, digest = excluded.digest, answer = NULL
  WHERE answer.begun_at + $3 <= excluded.begun_at
  RETURNING 1 AS is_begun`

/** Those that somebody else lets go of now are left to them. */
const letGo = `
  DELETE FROM answer WHERE key = ANY (ARRAY(
    SELECT key FROM answer WHERE begun_at <= clock() - $1 ORDER BY begun_at LIMIT $2
    FOR UPDATE SKIP LOCKED))`

const keep = `UPDATE answer SET answer = $3 WHERE key = $1 AND digest = $2 AND answer IS NULL`
const giveUp = `DELETE FROM answer WHERE key = $1 AND digest = $2 AND answer IS NULL`

/** Answers in SQLite: see `AnswerStorage` for the laws. */
import { keptMillis, leavingMax, standing } from "../../core/domain/Answer.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import type { Database } from "./Database.ts"

interface AnswerRow {
  readonly digest: string
  readonly begun_at: number
  readonly answer: string | null
}

const select = "SELECT digest, begun_at, answer FROM answer WHERE key = ?"

const letGo = `
  DELETE FROM answer WHERE key IN
    (SELECT key FROM answer WHERE begun_at <= ? ORDER BY begun_at LIMIT ${leavingMax})`

const begin = "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, NULL)"

export const make = (db: Database): AnswerStorage => ({
  begin: (key, order) =>
    db.write("begin an order", ({ now }) => {
      db.run(letGo, now - keptMillis)
      const row = db.get<AnswerRow>(select, key)
      const kept = row &&
        { order: row.digest, begunAt: row.begun_at, answer: row.answer ?? undefined }
      const known = standing(kept, order, now)
      if (known._tag === "Begun") db.run(begin, key, order, now)
      return known
    }),
  keep: (key, order, answer) =>
    db.write("keep an answer", () => {
      db.run(
        "UPDATE answer SET answer = ?3 WHERE key = ?1 AND digest = ?2 AND answer IS NULL",
        key,
        order,
        answer,
      )
    }),
  giveUp: (key, order) =>
    db.write("give an order up", () => {
      db.run("DELETE FROM answer WHERE key = ? AND digest = ? AND answer IS NULL", key, order)
    }),
  count: db.read(
    "count answers",
    () => db.get<{ readonly count: number }>("SELECT count(*) AS count FROM answer")!.count,
  ),
})

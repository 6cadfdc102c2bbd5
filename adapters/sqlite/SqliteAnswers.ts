/** Answers in SQLite: see `AnswerStorage` for the laws. */
import { keptMillis, leavingMax, standing } from "../../core/domain/Answer.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import type { Database } from "./Database.ts"

interface AnswerRow {
  readonly digest: string
  readonly beginner: string | null
  readonly begun_at: number
  readonly answer: string | null
}

const select = "SELECT digest, beginner, begun_at, answer FROM answer WHERE key = ?"

const letGo = `
  DELETE FROM answer WHERE key IN
    (SELECT key FROM answer WHERE begun_at <= ? ORDER BY begun_at LIMIT ${leavingMax})`

const begin = `
  INSERT OR REPLACE INTO answer (key, digest, beginner, begun_at, answer) VALUES (?, ?, ?, ?, NULL)`

const keep = "UPDATE answer SET answer = ?3 WHERE key = ?1 AND beginner = ?2 AND answer IS NULL"
const giveUp = "DELETE FROM answer WHERE key = ? AND beginner = ? AND answer IS NULL"

export const make = (db: Database): AnswerStorage => ({
  begin: (key, order, beginner) =>
    db.write("begin an order", ({ now }) => {
      db.run(letGo, now - keptMillis)
      const row = db.get<AnswerRow>(select, key)
      const kept = row && {
        order: row.digest,
        beginner: row.beginner ?? undefined,
        begunAt: row.begun_at,
        answer: row.answer ?? undefined,
      }
      const known = standing(kept, order, beginner, now)
      if (known._tag === "Begun") db.run(begin, key, order, beginner, now)
      return known
    }),
  keep: (key, beginner, answer) =>
    db.write("keep an answer", () => void db.run(keep, key, beginner, answer)),
  giveUp: (key, beginner) => db.write("give an order up", () => void db.run(giveUp, key, beginner)),
  count: db.read(
    "count answers",
    () => db.get<{ readonly count: number }>("SELECT count(*) AS count FROM answer")!.count,
  ),
})

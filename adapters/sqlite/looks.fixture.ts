/** Counts how often a database is looked at for what others have committed. */
import type { Database } from "./Database.ts"

export const counting = (db: Database) => {
  let looks = 0
  const prepare = db.prepare.bind(db)
  db.prepare = (sql) => {
    if (sql === "PRAGMA data_version") looks++
    return prepare(sql)
  }
  return {
    /** So many since this was last asked. */
    since: () => {
      const before = looks
      looks = 0
      return before
    },
  }
}

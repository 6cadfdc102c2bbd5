/** What executors leave to be said of their runs, in SQLite: E9 and R41. */
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Ending, Endings, Overdue, Report } from "../../core/services/RunStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Transaction } from "./Database.ts"
import { settleAll } from "./SqliteGrants.ts"

/** With a beat: it takes the place of all that was left before, unless that was said later. */
export const leave = (
  { db, now }: Transaction,
  incarnation: Incarnation,
  { all, number }: Endings,
): void => {
  const { changes } = db.run(
    "UPDATE executor SET endings_number = ?2 WHERE incarnation = ?1 AND endings_number < ?2",
    incarnation,
    number,
  )
  if (changes === 0) return
  db.run("DELETE FROM ending WHERE incarnation = ?", incarnation)
  for (const ending of all) put(db, now, incarnation, ending)
}

/** With the mark of a start. */
export const put = (
  db: Connection,
  now: number,
  incarnation: Incarnation,
  { inMillis, report }: Ending,
): void =>
  void db.run(
    `INSERT INTO ending VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (incarnation, run) DO UPDATE SET fence = excluded.fence, at = excluded.at,
       report = excluded.report`,
    incarnation,
    report.run,
    report.fence,
    now + inMillis,
    JSON.stringify(report),
  )

/** Until something is to be said, if anything is. */
export const nextInMillis = (db: Connection, now: number): number | undefined => {
  const next = db.get<{ readonly at: number }>("SELECT at FROM ending ORDER BY at LIMIT 1")
  return next && Math.max(0, next.at - now)
}

interface Late {
  readonly incarnation: Incarnation
  readonly run: RunId
  readonly fence: Fence
  readonly report: string
  /** Its holder has it still, and has not concluded how it ends. */
  readonly is_held: number
}

const selectLate = `
  SELECT incarnation, run, fence, report,
    EXISTS (SELECT 1 FROM lease WHERE lease.run = ending.run
      AND lease.incarnation = ending.incarnation AND lease.fence = ending.fence)
    AND NOT EXISTS (SELECT 1 FROM conclusion
      WHERE conclusion.run = ending.run AND conclusion.phase <> 'handedOver') AS is_held
  FROM ending WHERE at <= ? ORDER BY at LIMIT ?`

export const endOverdue = (tx: Transaction, limit: number): Overdue => {
  const { db, now } = tx
  const late = db.all<Late>(selectLate, now, limit)
  const reports: Array<Report> = []
  const freed = new Set<GateKey>()
  for (const { incarnation, is_held, report, run } of late) {
    db.run("DELETE FROM ending WHERE incarnation = ? AND run = ?", incarnation, run)
    if (is_held === 0) continue
    const said = JSON.parse(report) as Report
    const { freed: some, settled } = settleAll(tx, incarnation, [said])
    for (const gate of some) freed.add(gate)
    if (settled[0] === "applied") reports.push(said)
  }
  const next = late.length === limit ? 0 : nextInMillis(db, now)
  return { reports, freed: [...freed], nextInMillis: next }
}

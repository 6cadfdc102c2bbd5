/** Triggers that tail a source, in SQLite: see `TriggerStorage` for the laws. */
import type { RunId } from "../../core/domain/RunId.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import type { TriggerDefinition, TriggerId } from "../../core/domain/Trigger.ts"
import type {
  SlotRecord,
  Tailed,
  Tailing as Item,
  TriggerStorage,
} from "../../core/services/TriggerStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Transaction } from "./Database.ts"
import { add } from "./RunRows.ts"

/** A trigger that tails a source has a row; put with another source, it begins anew. */
export const attach = (
  { db }: Transaction,
  trigger: TriggerId,
  { schedule }: TriggerDefinition,
): void => {
  if (schedule._tag !== "Tail") return
  db.run(
    `INSERT INTO tail (trigger, source) VALUES (?, ?) ON CONFLICT (trigger) DO UPDATE
     SET source = excluded.source, position = NULL, moved_at = NULL, up_to = NULL, failure = NULL,
       failing_since = NULL WHERE source <> excluded.source`,
    trigger,
    Tailing.keyOf(schedule),
  )
}

export const tail = (tx: Transaction, item: Item): Tailed => {
  const { db, now } = tx
  const { entries, from, revision, trigger } = item
  const row = db.get<Tailing.Row>(
    `SELECT tail.* FROM tail JOIN trigger ON trigger.id = tail.trigger
     WHERE trigger.id = ? AND trigger.revision = ? AND is_paused = 0 AND is_removed = 0`,
    trigger,
    revision,
  )
  if (row === undefined) return { _tag: "Stale" }
  const before = Tailing.ofRow(row)
  if (before.position !== from) return { _tag: "Behind" }
  const runs: Array<RunId> = []
  let nth = before.fired + before.skipped
  for (const { fire, position } of entries) {
    const run = typeof fire === "string" ? undefined : add(tx, fire, { trigger, slot: now }).run
    if (run !== undefined) runs.push(run)
    db.run(
      "INSERT INTO tailed VALUES (?, ?, ?, ?, ?, ?)",
      trigger,
      ++nth,
      run ?? null,
      now,
      position,
      typeof fire === "string" ? fire : null,
    )
  }
  if (entries.length > 0) {
    db.run(
      "DELETE FROM tailed WHERE trigger = ? AND nth <= ?",
      trigger,
      nth - Tailing.recordsMax,
    )
  }
  const move = { ...item, fired: runs.length, skipped: entries.length - runs.length }
  db.run(
    `UPDATE tail SET position = ?, fired = ?, passed = ?, skipped = ?, moved_at = ?, up_to = ?,
       failure = ?, failing_since = ? WHERE trigger = ?`,
    ...Object.values(Tailing.rowOf(Tailing.moved(before, move, now))),
    trigger,
  )
  return { _tag: "Taken", runs }
}

/** Rows of triggers with their tails. */
export const selectTails = (
  columns: string,
  of: Parameters<TriggerStorage["tails"]>[0],
): { readonly text: string; readonly params: ReadonlyArray<string> } => {
  const text = `SELECT ${columns}, tail.* FROM tail JOIN trigger ON trigger.id = tail.trigger
    WHERE is_removed = 0`
  if ("partitions" in of) {
    return {
      text: `${text} AND partition IN (SELECT value FROM json_each(?)) ORDER BY name`,
      params: [JSON.stringify(of.partitions)],
    }
  }
  return of.name === undefined
    ? { text: `${text} AND namespace = ? ORDER BY name`, params: [of.namespace] }
    : { text: `${text} AND namespace = ? AND name = ?`, params: [of.namespace, of.name] }
}

interface RecordRow {
  readonly run: RunId | null
  readonly at: number
  readonly position: string
  readonly reason: string | null
}

/** The latest first. */
export const records = (
  at: Connection,
  trigger: TriggerId,
  limit: number,
): ReadonlyArray<SlotRecord> =>
  at.all<RecordRow>(
    "SELECT run, at, position, reason FROM tailed WHERE trigger = ? ORDER BY nth DESC LIMIT ?",
    trigger,
    limit,
  ).map(told)

const told = (row: RecordRow): SlotRecord => ({
  slot: row.at,
  through: row.at,
  entry: row.position,
  latenessMillis: 0,
  ...(row.run === null
    ? { outcome: "skipped", reason: row.reason! }
    : { outcome: "fired", run: row.run }),
})

/** Of the entry that the run was made for, among the bounded ones of its trigger: no index needed. */
export const recordOf = (at: Connection, run: RunId): SlotRecord | undefined => {
  const row = at.get<RecordRow & { readonly revision: number | null }>(
    `SELECT tailed.run, tailed.at, position, reason, (
       SELECT max(version.revision) FROM trigger_version AS version
       WHERE version.trigger = tailed.trigger AND since - 1 <= tailed.at) AS revision
     FROM run JOIN tailed ON tailed.trigger = run.trigger AND tailed.run = run.id
     WHERE run.id = ?`,
    run,
  )
  return row && { ...told(row), ...(row.revision !== null && { revision: row.revision }) }
}

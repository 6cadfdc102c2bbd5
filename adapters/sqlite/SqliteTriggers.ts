/** Triggers and slots in SQLite: see `TriggerStorage` for the laws. */
import { Effect, Equal, Option, Schema } from "effect"
import { unknown as unknownCalendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import { TriggerDefinition } from "../../core/domain/Trigger.ts"
import type {
  Fired,
  Firing,
  SlotRecord,
  TriggerStorage,
  TriggerView,
} from "../../core/services/TriggerStorage.ts"
import { ofTriggers } from "../../core/services/Wakeups.ts"
import type { Database, Transaction } from "./Database.ts"
import { add } from "./RunRows.ts"
import * as SqliteCalendars from "./SqliteCalendars.ts"
import * as Following from "./SqliteFollowing.ts"
import { attach, detach, follow } from "./SqliteFollowing.ts"
import { used } from "./SqliteHistory.ts"

const Json = Schema.fromJsonString(TriggerDefinition)
const encode = Schema.encodeSync(Json)
const decode = Schema.decodeSync(Json)

interface TriggerRow {
  readonly id: Trigger.TriggerId
  readonly definition: string
  readonly revision: number
  readonly is_paused: number
  readonly is_removed: number
  readonly cursor: number | null
}

const columns = "id, definition, revision, is_paused, is_removed, cursor"
const selectByName = `SELECT ${columns} FROM trigger WHERE namespace = ? AND name = ?`
const selectById = `SELECT ${columns} FROM trigger WHERE id = ?`
/** So many slots are fired by one step, so that many due at once do not hold up everybody else. */
const fireBatch = 100
const listed = 10_000

export const make = (db: Database): TriggerStorage => {
  /** Decoding costs more than all else in a look for due triggers. A text is decoded once. */
  const decoded = new Map<string, TriggerDefinition>()
  const definitionOf = (text: string): TriggerDefinition => {
    const known = decoded.get(text)
    if (known !== undefined) return known
    const definition = decode(text)
    if (decoded.size >= 10_000) decoded.clear()
    decoded.set(text, definition)
    return definition
  }

  const viewOf = (row: TriggerRow): TriggerView => ({
    id: row.id,
    definition: definitionOf(row.definition),
    revision: row.revision,
    isPaused: row.is_paused === 1,
    ...(row.cursor !== null && { cursor: row.cursor }),
  })

  const byName = (namespace: Namespace, name: Trigger.TriggerName): TriggerRow | undefined =>
    db.get<TriggerRow>(selectByName, namespace, name)

  const put = (tx: Transaction, wanted: TriggerDefinition): TriggerView | Refused => {
    const named = Trigger.calendarOf(wanted.schedule)
    const calendar = SqliteCalendars.look(db, wanted.namespace, named)
    if (named !== undefined && calendar === undefined) return unknownCalendar(named)
    const known = byName(wanted.namespace, wanted.name)
    const kept = known?.is_removed === 0 ? definitionOf(known.definition) : undefined
    const definition = Trigger.anchored(wanted, kept, tx.now)
    if (kept !== undefined && Equal.equals(kept, definition)) return viewOf(known!)
    const row = db.get<TriggerRow>(
      `INSERT INTO trigger (namespace, name, partition, definition, revision, is_paused, is_removed,
         cursor, calendar)
       VALUES (?, ?, ?, ?, 1, 0, 0, ?, ?) ON CONFLICT (namespace, name) DO UPDATE
       SET definition = excluded.definition, revision = revision + 1, cursor = excluded.cursor,
         calendar = excluded.calendar,
         is_paused = CASE is_removed WHEN 1 THEN 0 ELSE is_paused END, is_removed = 0
       RETURNING ${columns}`,
      definition.namespace,
      definition.name,
      Trigger.partitionOf(definition.namespace, definition.name),
      encode(definition),
      Trigger.slotAfter(definition.schedule, tx.now, calendar) ?? null,
      named ?? null,
    )!
    attach(tx, definition)
    tx.hint(ofTriggers)
    return viewOf(row)
  }

  const pause = (
    tx: Transaction,
    namespace: Namespace,
    name: Trigger.TriggerName,
    isPaused: boolean,
  ): Option.Option<TriggerView> => {
    const row = byName(namespace, name)
    if (row === undefined || row.is_removed === 1) return Option.none()
    if ((row.is_paused === 1) === isPaused) return Option.some(viewOf(row))
    const { schedule } = definitionOf(row.definition)
    const calendar = SqliteCalendars.look(db, namespace, Trigger.calendarOf(schedule))
    const cursor = isPaused ? row.cursor : Trigger.slotAfter(schedule, tx.now, calendar) ?? null
    db.run(
      "UPDATE trigger SET is_paused = ?, cursor = ? WHERE id = ?",
      Number(isPaused),
      cursor,
      row.id,
    )
    tx.hint(ofTriggers)
    return Option.some(viewOf({ ...row, is_paused: Number(isPaused), cursor }))
  }

  return {
    put: (definition) =>
      Effect.flatMap(
        db.write("put", (tx) => put(tx, definition)),
        (answer) => "_tag" in answer ? Effect.fail(answer) : Effect.succeed(answer),
      ),
    remove: (namespace, name) =>
      db.write("remove", (tx) => {
        detach(tx, namespace, name)
        return db.run(
          `UPDATE trigger SET is_removed = 1 WHERE namespace = ? AND name = ? AND is_removed = 0`,
          namespace,
          name,
        ).changes === 1
      }),
    pause: (namespace, name, isPaused) =>
      db.write("pause", (tx) => pause(tx, namespace, name, isPaused)),
    find: (namespace, name) =>
      db.read("find trigger", () => {
        const row = byName(namespace, name)
        return row === undefined || row.is_removed === 1 ? Option.none() : Option.some(viewOf(row))
      }),
    list: (namespace) =>
      db.readInTurns("list triggers", function* (at) {
        const rows = at.all<TriggerRow>(
          `SELECT ${columns} FROM trigger WHERE namespace = ? AND is_removed = 0
           ORDER BY name LIMIT ${listed}`,
          namespace,
        )
        const views: Array<TriggerView> = []
        for (const row of rows) {
          views.push(viewOf(row))
          yield
        }
        return views
      }),
    due: (partitions, withinMillis, limit) =>
      db.read("due", () => {
        const now = db.now()
        const triggers = db.all<TriggerRow>(
          `SELECT ${columns} FROM trigger
           WHERE cursor IS NOT NULL AND is_paused = 0 AND is_removed = 0 AND cursor < ?
             AND partition IN (SELECT value FROM json_each(?))
           ORDER BY cursor, id LIMIT ?`,
          now + withinMillis,
          JSON.stringify(partitions),
          limit,
        )
        return { now, triggers: triggers.map(viewOf) }
      }),
    fire: (items) =>
      Effect.map(
        Effect.forEach(
          Array.from(
            { length: Math.ceil(items.length / fireBatch) },
            (_, at) => items.slice(at * fireBatch, (at + 1) * fireBatch),
          ),
          (some) => db.write("fire", (tx) => some.map((item) => fire(tx, item))),
          { concurrency: "unbounded" },
        ),
        (answers) => answers.flat(),
      ),
    follow: (items) => db.write("follow", (tx) => items.map((item) => follow(tx, item))),
    records: (trigger, limit) =>
      db.read("records", () => {
        const records = db.all<SlotRow>(
          `SELECT slot, through, outcome, run, reason, lateness_millis FROM slot
           WHERE trigger = ? AND reason IS NOT '${used}' ORDER BY slot DESC LIMIT ?`,
          trigger,
          limit,
        ).map(recordOf)
        return [...Following.records(db, trigger, limit), ...records]
          .sort((a, b) => b.slot - a.slot).slice(0, limit)
      }),
  }
}

interface SlotRow {
  readonly slot: number
  readonly through: number
  readonly outcome: SlotRecord["outcome"]
  readonly run: RunId | null
  readonly reason: string | null
  readonly lateness_millis: number
}

const recordOf = (row: SlotRow): SlotRecord => ({
  slot: row.slot,
  through: row.through,
  outcome: row.outcome,
  latenessMillis: row.lateness_millis,
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && { reason: row.reason }),
})

const fire = (tx: Transaction, item: Firing): Fired => {
  const { db, now } = tx
  const row = db.get<TriggerRow>(selectById, item.trigger)
  const isCurrent = row !== undefined && row.revision === item.revision &&
    row.is_paused === 0 && row.is_removed === 0
  if (!isCurrent) return { _tag: "Stale" }
  const last = item.fire?.slot ?? item.passed?.through
  if (last === undefined) return { _tag: "Recorded" }
  if (last > now) return { _tag: "NotDue", remainingMillis: last - now }
  const isAlready = isRecorded(db, item.trigger, item.passed?.from ?? last, last)
  if (row.cursor === null || row.cursor <= last) {
    db.run("UPDATE trigger SET cursor = ? WHERE id = ?", item.next ?? null, row.id)
  }
  if (isAlready) return { _tag: "Already" }
  const fired = item.fire &&
    add(tx, item.fire.spec, { trigger: row.id, slot: item.fire.slot })
  const { passed } = item
  if (passed !== undefined) {
    const run = passed.outcome === "coalesced" ? fired?.run : undefined
    record(tx, row.id, passed.from, passed.through, passed.outcome, run)
  }
  if (fired === undefined) return { _tag: "Recorded" }
  record(tx, row.id, last, last, "fired", fired.run)
  return { _tag: "Fired", run: fired.run, latenessMillis: now - last }
}

/** Records do not overlap, so the last one that begins before the end tells. */
const isRecorded = (db: Database, trigger: number, from: number, to: number): boolean => {
  const last = db.get<{ through: number }>(
    "SELECT through FROM slot WHERE trigger = ? AND slot <= ? ORDER BY slot DESC LIMIT 1",
    trigger,
    to,
  )
  return last !== undefined && last.through >= from
}

const record = (
  { db, now }: Transaction,
  trigger: number,
  slot: number,
  through: number,
  outcome: SlotRecord["outcome"],
  run: RunId | undefined,
): void => {
  db.run(
    "INSERT INTO slot VALUES (?, ?, ?, ?, ?, ?, ?)",
    trigger,
    slot,
    through,
    outcome,
    run ?? null,
    outcome === "skipped" ? "misfired" : null,
    now - through,
  )
}

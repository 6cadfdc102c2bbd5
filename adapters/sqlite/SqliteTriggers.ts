/** Triggers and slots in SQLite: see `TriggerStorage` for the laws. */
import { Effect, Equal, Option, Schema } from "effect"
import { unknown as unknownCalendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import { Fence } from "../../core/domain/Lease.ts"
import * as Permanent from "../../core/domain/Permanent.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { overlapping } from "../../core/domain/RunView.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import { TriggerDefinition } from "../../core/domain/Trigger.ts"
import * as Turn from "../../core/domain/Turn.ts"
import {
  type Asked,
  type Asking,
  type Fired,
  type Firing,
  listedMax,
  type SlotRecord,
  type Stopped,
  TriggerChanged,
  type TriggerStorage,
  type TriggerView,
} from "../../core/services/TriggerStorage.ts"
import { ofTriggers } from "../../core/services/Wakeups.ts"
import type { Database, Transaction } from "./Database.ts"
import { add, note } from "./RunRows.ts"
import * as SqliteCalendars from "./SqliteCalendars.ts"
import * as Following from "./SqliteFollowing.ts"
import { attach, detach, follow } from "./SqliteFollowing.ts"
import { used } from "./SqliteHistory.ts"
import * as SqliteTailing from "./SqliteTailing.ts"
import { keepVersion, recordedOf, sinceOf, versionsOf } from "./TriggerVersions.ts"

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
/** Also those that are alive, so there may be fewer that have stopped among them. */
const selectPermanent = `SELECT ${columns} FROM trigger
  WHERE is_permanent = 1 AND is_paused = 0 AND is_removed = 0
    AND partition IN (SELECT value FROM json_each(?)) AND id > ? ORDER BY id LIMIT ?`
const selectById = `SELECT ${columns} FROM trigger WHERE id = ?`
/** So many slots are fired by one step, so that many due at once do not hold up everybody else. */
const fireBatch = 100

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

  /** Within a transaction. */
  const standing = (row: TriggerRow, namespace: Namespace): Turn.InForce => {
    const { schedule } = definitionOf(row.definition)
    return {
      schedule,
      calendar: SqliteCalendars.look(db, namespace, Trigger.calendarOf(schedule))?.calendar,
      cursor: row.cursor ?? undefined,
      isPaused: row.is_paused === 1,
      since: sinceOf(db, row.id),
    }
  }

  const put = (
    tx: Transaction,
    wanted: TriggerDefinition,
    revision: number | undefined,
  ): TriggerView | Refused | TriggerChanged => {
    const row = byName(wanted.namespace, wanted.name)
    const known = row?.is_removed === 0 ? row : undefined
    const present = known?.revision ?? 0
    if (revision !== undefined && revision !== present) {
      return new TriggerChanged({ name: wanted.name, revision: present })
    }
    const named = Trigger.calendarOf(wanted.schedule)
    const calendar = SqliteCalendars.look(db, wanted.namespace, named)
    if (named !== undefined && calendar === undefined) return unknownCalendar(named)
    const kept = known && definitionOf(known.definition)
    const definition = Trigger.anchored(wanted, kept, tx.now)
    if (kept !== undefined && Equal.equals(kept, definition)) return viewOf(known!)
    const { closed, cursor, since } = Turn.edited(
      known && standing(known, wanted.namespace),
      { schedule: definition.schedule, calendar: calendar?.calendar },
      tx.now,
      row && recordedOf(db, row.id),
    )
    if (known !== undefined) close(tx, known, closed)
    const text = encode(definition)
    const stored = db.get<TriggerRow>(
      `INSERT INTO trigger (namespace, name, partition, definition, revision, is_paused, is_removed,
         cursor, calendar, is_permanent)
       VALUES (?, ?, ?, ?, 1, 0, 0, ?, ?, ?) ON CONFLICT (namespace, name) DO UPDATE
       SET definition = excluded.definition, revision = revision + 1, cursor = excluded.cursor,
         calendar = excluded.calendar, is_permanent = excluded.is_permanent,
         is_paused = CASE is_removed WHEN 1 THEN 0 ELSE is_paused END, is_removed = 0
       RETURNING ${columns}`,
      definition.namespace,
      definition.name,
      Trigger.partitionOf(definition.namespace, definition.name),
      text,
      cursor ?? null,
      named ?? null,
      Number(definition.schedule._tag === "Permanent"),
    )!
    keepVersion(tx, stored.id, stored.revision, since, text, calendar?.text ?? null)
    attach(tx, definition)
    SqliteTailing.attach(tx, stored.id, definition)
    tx.hint(ofTriggers)
    return viewOf(stored)
  }

  const remove = (tx: Transaction, namespace: Namespace, name: Trigger.TriggerName): boolean => {
    const row = byName(namespace, name)
    if (row === undefined || row.is_removed === 1) return false
    const { closed, since } = Turn.removed(standing(row, namespace), tx.now)
    close(tx, row, closed)
    db.run(
      "UPDATE trigger SET is_removed = 1, revision = revision + 1, cursor = NULL WHERE id = ?",
      row.id,
    )
    keepVersion(tx, row.id, row.revision + 1, since, null, null)
    detach(tx, namespace, name)
    return true
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
    const turn = isPaused
      ? { closed: undefined, cursor: row.cursor ?? undefined }
      : Turn.resumed(standing(row, namespace), tx.now, recordedOf(db, row.id))
    close(tx, row, turn.closed)
    const cursor = turn.cursor ?? null
    db.run(
      "UPDATE trigger SET is_paused = ?, cursor = ? WHERE id = ?",
      Number(isPaused),
      cursor,
      row.id,
    )
    tx.hint(ofTriggers)
    return Option.some(viewOf({ ...row, is_paused: Number(isPaused), cursor }))
  }

  const stoppedOf = (row: TriggerRow): Stopped | undefined => {
    const runs = db.all<{
      readonly slot: number
      readonly is_under_way: number
      readonly lived: number | null
      readonly finished_at: number | null
    }>(selectLatestRuns, row.id)
    if (runs.some(({ is_under_way }) => is_under_way === 1)) return undefined
    const last = runs[0]
    return {
      view: viewOf(row),
      lives: runs.map(({ lived, slot }) => ({ slot, livedMillis: lived ?? 0 })),
      endedAt: last?.finished_at ?? last?.slot ?? 0,
    }
  }

  return {
    put: (definition, revision) =>
      Effect.flatMap(
        db.write("put", (tx) => put(tx, definition, revision)),
        (answer) => "_tag" in answer ? Effect.fail(answer) : Effect.succeed(answer),
      ),
    remove: (namespace, name) => db.write("remove", (tx) => remove(tx, namespace, name)),
    pause: (namespace, name, isPaused) =>
      db.write("pause", (tx) => pause(tx, namespace, name, isPaused)),
    find: (namespace, name) =>
      db.read("find trigger", () => {
        const row = byName(namespace, name)
        return row === undefined || row.is_removed === 1 ? Option.none() : Option.some(viewOf(row))
      }),
    list: (namespace, { after = "", limit = listedMax } = {}) =>
      db.readInTurns("list triggers", function* (at) {
        const rows = at.all<TriggerRow>(
          `SELECT ${columns} FROM trigger WHERE namespace = ? AND is_removed = 0 AND name > ?
           ORDER BY name LIMIT ?`,
          namespace,
          after,
          Math.max(0, Math.min(limit, listedMax)),
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
             AND is_permanent = 0 AND partition IN (SELECT value FROM json_each(?))
           ORDER BY cursor, id LIMIT ?`,
          now + withinMillis,
          JSON.stringify(partitions),
          limit,
        )
        return { now, triggers: triggers.map(viewOf) }
      }),
    aheadMillis: 0,
    fire: (items) =>
      Effect.map(
        Effect.forEach(
          Array.from(
            { length: Math.ceil(items.length / fireBatch) },
            (_, at) => items.slice(at * fireBatch, (at + 1) * fireBatch),
          ),
          (some) => db.write("fire", (tx) => some.map((item) => fire(tx, item, definitionOf))),
          { concurrency: "unbounded" },
        ),
        (answers) => answers.flat(),
      ),
    follow: (items) => db.write("follow", (tx) => items.map((item) => follow(tx, item))),
    tail: (item) => db.write("tail", (tx) => SqliteTailing.tail(tx, item)),
    tails: (of) =>
      db.read("tails", () => {
        const { params, text } = SqliteTailing.selectTails(columns, of)
        return db.all<TriggerRow & Tailing.Row>(text, ...params)
          .map((row) => ({ view: viewOf(row), tail: Tailing.ofRow(row) }))
          .filter(({ view }) => view.definition.schedule._tag === "Tail")
      }),
    records: (trigger, limit) =>
      db.read("records", () =>
        [
          ...Following.records(db, trigger, limit),
          ...SqliteTailing.records(db, trigger, limit),
          ...db.all<SlotRow>(selectRecords, trigger, limit).map(recordOf),
        ].sort((a, b) => b.slot - a.slot).slice(0, limit)),
    recordOf: (run) =>
      db.read("records", () =>
        Option.fromNullishOr(
          Following.recordOf(db, run) ??
            db.all<SlotRow>(selectRecord, run).map(recordOf)[0] ??
            SqliteTailing.recordOf(db, run),
        )),
    ask: (items, isDry) => db.write("ask", (tx) => items.map((item) => ask(tx, item, isDry))),
    asked: (trigger, request, limit) =>
      db.read("asked", () =>
        db.all<{ readonly run: RunId }>(
          `SELECT run FROM asked WHERE trigger = ? AND kind = ${askedKinds.indexOf("backfill")}
             AND request = ? ORDER BY slot LIMIT ?`,
          trigger,
          request,
          limit,
        ).map(({ run }) => run)),
    versions: (trigger, limit) =>
      db.read(
        "versions",
        () => versionsOf(db, trigger, limit).map(({ calendar: _, ...version }) => version),
      ),
    stopped: (partitions, limit, after) =>
      db.read("stopped", () => {
        const triggers: Array<Stopped> = []
        let last: number = after ?? 0
        while (triggers.length < limit) {
          const rows = db.all<TriggerRow>(selectPermanent, JSON.stringify(partitions), last, limit)
          for (const row of rows) {
            const stopped = stoppedOf(row)
            if (stopped !== undefined && triggers.length < limit) triggers.push(stopped)
          }
          if (rows.length < limit) break
          last = rows.at(-1)!.id
        }
        return { now: db.now(), triggers }
      }),
  }
}

/** The column \`asked.kind\` numbers them in this order. */
export const askedKinds = ["manual", "backfill"] as const

/** Among so many of its latest slots one is looked for that is under way. */
const lookedBack = 32

const isUnderWay = (run: string) =>
  `(EXISTS (SELECT 1 FROM run WHERE id = ${run})
     AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.run = ${run}))`

/** A slot that is held up says by which run, so that this one is found by the next, however long it takes. */
const selectRunning = `
  WITH latest AS (SELECT run, running FROM slot
    WHERE trigger = ?1 ORDER BY slot DESC LIMIT ${lookedBack})
  SELECT run FROM (
    SELECT 0 AS source, run FROM latest UNION SELECT 0, running FROM latest
    UNION
    SELECT * FROM (SELECT 1, run FROM asked
      WHERE trigger = ?1 ORDER BY slot DESC LIMIT ${lookedBack})
    UNION
    SELECT * FROM (SELECT 1, run FROM followed
      WHERE trigger = ?1 ORDER BY event DESC LIMIT ${lookedBack})
  ) AS candidate
  WHERE run IS NOT NULL AND ${isUnderWay("candidate.run")}
  ORDER BY source, run DESC LIMIT 1`

const selectLatestRuns = `
  SELECT slot.slot, ${isUnderWay("slot.run")} AS is_under_way, outcome.finished_at,
    outcome.finished_at - outcome.claimed_at AS lived
  FROM (SELECT slot, run FROM slot WHERE trigger = ? AND run IS NOT NULL
    ORDER BY slot DESC LIMIT ${Permanent.remembered}) AS slot
  LEFT JOIN outcome ON outcome.run = slot.run
  ORDER BY slot.slot DESC`

const selectRecords = `
  SELECT * FROM (
    SELECT slot, through, outcome, run, reason, running, lateness_millis, revision,
      NULL AS kind, NULL AS request, NULL AS asked_by
    FROM slot WHERE trigger = ?1 AND reason IS NOT '${used}' ORDER BY slot DESC LIMIT ?2)
  UNION ALL
  SELECT * FROM (
    SELECT slot, slot, 'fired', run, NULL, NULL, at - slot, revision, kind, request, asked_by
    FROM asked WHERE trigger = ?1 ORDER BY slot DESC LIMIT ?2)
  ORDER BY slot DESC LIMIT ?2`

/** What was asked for now has the instant at which its run was made. */
const selectRecord = `
  SELECT slot.slot, through, outcome, slot.run, reason, running, lateness_millis, revision,
    NULL AS kind, NULL AS request, NULL AS asked_by
  FROM run JOIN slot ON slot.trigger = run.trigger AND slot.slot = run.slot AND slot.run = run.id
  WHERE run.id = ?1 AND outcome = 'fired'
  UNION ALL
  SELECT asked.slot, asked.slot, 'fired', asked.run, NULL, NULL, at - asked.slot, revision, asked.kind,
    request, asked_by
  FROM run JOIN asked ON asked.trigger = run.trigger
    AND asked.slot = coalesce(run.slot, run.created_at) AND asked.run = run.id
  WHERE run.id = ?1`

interface SlotRow {
  readonly slot: number
  readonly through: number
  readonly outcome: SlotRecord["outcome"]
  readonly run: RunId | null
  readonly reason: string | null
  readonly running: RunId | null
  readonly lateness_millis: number
  readonly revision: number | null
  readonly kind: number | null
  readonly request: string | null
  readonly asked_by: string | null
}

const recordOf = (row: SlotRow): SlotRecord => ({
  slot: row.slot,
  through: row.through,
  outcome: row.outcome,
  latenessMillis: row.lateness_millis,
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && { reason: row.reason }),
  ...(row.running !== null && { running: row.running }),
  ...(row.revision !== null && { revision: row.revision }),
  ...(row.kind !== null && {
    asked: {
      kind: askedKinds[row.kind]!,
      request: row.request!,
      ...(row.asked_by !== null && { by: row.asked_by }),
    },
  }),
})

const fire = (
  tx: Transaction,
  item: Firing,
  definitionOf: (text: string) => TriggerDefinition,
): Fired => {
  const { db, now } = tx
  const row = db.get<TriggerRow>(selectById, item.trigger)
  const isCurrent = row !== undefined && row.revision === item.revision &&
    row.is_paused === 0 && row.is_removed === 0
  if (!isCurrent) return { _tag: "Stale" }
  const last = item.fire?.slot ?? item.passed?.through
  if (last === undefined) return { _tag: "Recorded" }
  if (last > now) return { _tag: "NotDue", remainingMillis: last - now }
  const first = item.passed?.from ?? last
  const view = { definition: definitionOf(row.definition), cursor: row.cursor ?? undefined }
  const isAlready = Trigger.isBehind(view, first) || isRecorded(db, item.trigger, first, last)
  if (row.cursor !== null && row.cursor <= first) {
    db.run("UPDATE trigger SET cursor = ? WHERE id = ?", item.next ?? null, row.id)
  }
  if (isAlready) return { _tag: "Already" }
  const { passed } = item
  const { whileRunning = "allow" } = item.fire ?? {}
  const running = whileRunning === "allow"
    ? undefined
    : db.get<{ readonly run: RunId }>(selectRunning, row.id)?.run
  const isSkipped = running !== undefined && whileRunning === "skip"
  const run = item.fire && !isSkipped
    ? add(tx, item.fire.spec, {
      trigger: row.id,
      slot: item.fire.slot,
      failure: running && overlapping(running),
    }).run
    : undefined
  if (passed !== undefined) {
    const isCoalesced = passed.outcome === "coalesced"
    record(tx, row, passed.from, passed.through, passed.outcome, {
      run: isCoalesced ? run : undefined,
      reason: isCoalesced ? undefined : "misfired",
    })
  }
  if (item.fire === undefined) return { _tag: "Recorded" }
  if (run === undefined) {
    const reason = Trigger.stillRunning(running!)
    record(tx, row, last, last, "skipped", { reason, running })
    return { _tag: "Recorded" }
  }
  record(tx, row, last, last, "fired", { run, running })
  return { _tag: "Fired", run, latenessMillis: now - last }
}

const ask = (tx: Transaction, item: Asking, isDry: boolean): Asked => {
  const { db, now } = tx
  const row = db.get<TriggerRow>(selectById, item.trigger)
  if (row === undefined || row.revision !== item.revision || row.is_removed === 1) {
    return { _tag: "Stale" }
  }
  const { by, kind, request, slot = now, spec } = item
  const key = kind === "manual" ? request : `${slot}`
  const before = db.get<{ readonly run: RunId }>(
    "SELECT run FROM asked WHERE trigger = ? AND kind = ? AND key = ?",
    row.id,
    askedKinds.indexOf(kind),
    key,
  )
  if (before !== undefined) return { _tag: "Already", run: before.run }
  if (kind === "backfill") {
    if (slot > now || (row.is_paused === 0 && row.cursor !== null && slot >= row.cursor)) {
      return { _tag: "Pending" }
    }
    const kept = recordAt(db, row.id, slot)
    if (kept !== undefined && kept.through >= slot) {
      if (kept.outcome === "fired") return { _tag: "Already", run: kept.run ?? undefined }
      if (kept.reason === used) return { _tag: "Already", run: undefined }
    }
  }
  if (isDry) return { _tag: "Dry" }
  const { run } = add(tx, spec, {
    trigger: row.id,
    slot: kind === "backfill" ? slot : undefined,
  })
  note(
    tx,
    { id: run, attempt: 0, fence: Fence.make(0) },
    "Asked",
    by === undefined ? kind : `${kind}, by ${by}`,
  )
  db.run(
    "INSERT INTO asked VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    row.id,
    askedKinds.indexOf(kind),
    key,
    slot,
    run,
    row.revision,
    now,
    request,
    by ?? null,
  )
  return { _tag: "Fired", run }
}

/** Records do not overlap, so the last one that begins before the end tells. */
const isRecorded = (db: Database, trigger: number, from: number, to: number): boolean =>
  (recordAt(db, trigger, to)?.through ?? -Infinity) >= from

/** The last record that begins at or before `slot`. */
const recordAt = (db: Database, trigger: number, slot: number) =>
  db.get<Pick<SlotRow, "through" | "outcome" | "run" | "reason">>(
    `SELECT through, outcome, run, reason FROM slot WHERE trigger = ? AND slot <= ?
     ORDER BY slot DESC LIMIT 1`,
    trigger,
    slot,
  )

const close = (tx: Transaction, row: TriggerRow, closed: Turn.Closed | undefined): void => {
  if (closed === undefined) return
  record(tx, row, closed.from, closed.through, "skipped", { reason: closed.reason })
}

const record = (
  { db, now }: Transaction,
  { id, revision }: TriggerRow,
  slot: number,
  through: number,
  outcome: SlotRecord["outcome"],
  more: {
    readonly run?: RunId | undefined
    readonly reason?: string | undefined
    readonly running?: RunId | undefined
  },
): void => {
  db.run(
    "INSERT INTO slot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    id,
    slot,
    through,
    outcome,
    more.run ?? null,
    more.reason ?? null,
    now - through,
    revision,
    more.running ?? null,
  )
}

/**
 * What leaves the SQLite storage by its age: see `HistoryStorage` for the laws.
 *
 * No index tells what is old, since each run would pay for it. A pass walks the runs of each kind
 * instead, from the earliest until they are too young, a bounded number at a time, and each process
 * remembers where it is. Only then what was found is deleted, in small transactions. Of triggers there
 * may be many, and most of them asleep; so it remembers as well when the first of their records may
 * leave (`Leaving`).
 */
import { Effect } from "effect"
import * as Leaving from "../../core/domain/Leaving.ts"
import * as Retention from "../../core/domain/Retention.ts"
import { finals } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { HistoryStorage } from "../../core/services/HistoryStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Database, Transaction } from "./Database.ts"
import * as Holders from "./Holders.ts"
import type { Steps } from "./Snapshots.ts"
import { miss, oldRecords, retireRecords } from "./SqliteFollowing.ts"

/** One call looks at so many rows. */
const lookedMax = 20_000
/** So many rows are read by one step. */
const window = 100

/** What a look has found, and where the next one begins; absent at the end of a pass. */
interface Look<Found, Place> {
  readonly found: ReadonlyArray<Found>
  readonly next: Place | undefined
  /** The first instant at which anything that it has seen may leave; unless it is known, now. */
  readonly soonest?: number
}

export const make = (db: Database): HistoryStorage => {
  /** Goes on where it ended the last time. */
  const pass = <Found, Place>(
    look: (at: Connection, from: Place | undefined, limit: number, now: number) => Steps<
      Look<Found, Place>
    >,
    retire: (tx: Transaction, found: Found) => number,
  ) => {
    let place: Place | undefined
    let rest: Leaving.Rest | undefined
    let seen: Leaving.Pass | undefined
    return Effect.fnUntraced(function* (limit: number) {
      const now = db.now()
      if (place === undefined || seen === undefined) {
        const { revisions } = yield* db.read(
          "retire",
          () => db.get<{ revisions: number }>("SELECT total(revision) AS revisions FROM task")!,
        )
        if (Leaving.isResting(rest, { now, revisions })) return { count: 0, hasMore: false }
        seen = Leaving.begin({ now, revisions })
      }
      const { found, next, soonest = now } = yield* db.readInTurns(
        "retire",
        (at) => look(at, place, limit, now),
      )
      const counts = yield* Effect.forEach(
        found,
        (each) => db.write("retire", (tx) => retire(tx, each)),
        { concurrency: "unbounded" },
      )
      const count = counts.reduce((sum, count) => sum + count, 0)
      seen = { ...seen, soonest: Math.min(seen.soonest, soonest), taken: seen.taken + count }
      if (next === undefined) rest = Leaving.restAfter(seen)
      place = next
      return { count, hasMore: next !== undefined }
    })
  }
  const retireRuns = pass(oldRuns, retireFamily)
  const retireKeys = pass(oldKeys, retireKey)
  const retireSlots = pass(oldSlots, retireStretch)
  const retireFollowed = pass(oldRecords, retireRecords)

  return {
    retire: Effect.fnUntraced(function* (limit) {
      const runs = yield* retireRuns(limit)
      const keys = yield* retireKeys(limit)
      const slots = yield* retireSlots(limit)
      const left = limit - slots.count
      const asked = yield* db.write("retire", (tx) => retireAsked(tx, left))
      const followed = yield* retireFollowed(limit)
      return {
        runs: runs.count,
        keys: keys.count,
        slots: slots.count + asked + followed.count,
        hasMore: asked === left || [runs, keys, slots, followed].some(({ hasMore }) => hasMore),
      }
    }),
  }
}

/** The instant up to which what ended leaves. */
const overAt = (retention: Retention.Retention | null, now: number): number =>
  now - Retention.millis[retention ?? Retention.usual]

/** A kind, and the instant of the earliest run that it may let go of. */
interface Kind {
  readonly id: number
  readonly retention: Retention.Retention | null
  readonly earliest: number | null
}

interface PlaceOfRuns {
  readonly kind: number
  readonly run: number
}

/** And when the earliest of its runs was submitted, of those after a place. */
const nextKind = `
  SELECT kind.id, json_extract(task.definition, '$.policy.retention') AS retention, (
      SELECT created_at FROM run
      WHERE run.kind = kind.id AND run.id > CASE kind.id WHEN ?1 THEN ?2 ELSE 0 END
      ORDER BY run.id LIMIT 1
    ) AS earliest
  FROM kind LEFT JOIN task ON task.namespace = kind.namespace AND task.name = kind.task
  WHERE kind.id >= ?1 ORDER BY kind.id LIMIT 1`

/** `children`: of a parent; a child is passed over, as it leaves with its parent. */
const runsOfKind = `
  SELECT run.id AS run, run.created_at, outcome.finished_at,
    (SELECT count(*) FROM child WHERE child.parent = run.id) AS children,
    EXISTS (SELECT 1 FROM child WHERE child.run = run.id) AS is_child
  FROM run LEFT JOIN outcome ON outcome.run = run.id
  WHERE run.kind = ? AND run.id > ? ORDER BY run.id LIMIT ${window}`

function* oldRuns(
  at: Connection,
  from: PlaceOfRuns | undefined,
  limit: number,
  now: number,
): Steps<Look<RunId, PlaceOfRuns>> {
  const found: Array<RunId> = []
  let left = limit
  let place: PlaceOfRuns = from ?? { kind: 0, run: 0 }
  for (let looked = 0; looked < lookedMax && left > 0; looked++) {
    yield
    const kind = at.get<Kind>(nextKind, place.kind, place.run)
    if (kind === undefined) return { found, next: undefined }
    const over = overAt(kind.retention, now)
    const after = kind.id === place.kind ? place.run : 0
    if (kind.earliest === null || kind.earliest > over) {
      place = { kind: kind.id + 1, run: 0 }
      continue
    }
    looked += window
    const seen = at.all<SeenRun>(runsOfKind, kind.id, after)
    place = { kind: kind.id + 1, run: 0 }
    for (const { children, created_at, finished_at, is_child, run } of seen) {
      // Those after it are younger still.
      if (created_at > over) break
      const isOver = finished_at !== null && finished_at <= over && is_child === 0
      if (isOver && (children === 0 || isFamilyOver(at, run, now))) {
        found.push(run)
        left -= 1 + children
      }
      const hasRest = left <= 0 || seen.length === window
      if (hasRest) place = { kind: kind.id, run }
      if (left <= 0) break
      if (children > 0) {
        looked += children
        yield
      }
    }
  }
  return { found, next: place }
}

interface SeenRun {
  readonly run: RunId
  readonly created_at: number
  readonly finished_at: number | null
  readonly children: number
  readonly is_child: number
}

/** A run, and its children if it has any. */
const family = "SELECT ?1 AS run UNION ALL SELECT run FROM child WHERE parent = ?1"

const ageOfTask = `CASE json_extract(task.definition, '$.policy.retention')
  ${
  Retention.Retention.literals
    .map((retention) => `WHEN '${retention}' THEN ${Retention.millis[retention]}`)
    .join(" ")
}
  ELSE ${Retention.millis[Retention.usual]} END`

const stays = `
  SELECT 1 FROM (${family}) AS member
    CROSS JOIN run ON run.id = member.run
    CROSS JOIN kind ON kind.id = run.kind
    LEFT JOIN task ON task.namespace = kind.namespace AND task.name = kind.task
    LEFT JOIN outcome ON outcome.run = run.id
  WHERE outcome.run IS NULL OR outcome.finished_at > ?2 - ${ageOfTask} LIMIT 1`

/** Whether each of them is old enough by its own task. */
const isFamilyOver = (at: Connection, run: RunId, now: number): boolean =>
  at.get(stays, run, now) === undefined

/** How many runs have left. */
const retireFamily = (tx: Transaction, run: RunId): number => {
  const { db, now } = tx
  // Since it was found, one of them was revived.
  if (!isFamilyOver(db, run, now)) return 0
  const members = db.all<{ run: RunId }>(family, run)
  db.run("DELETE FROM child WHERE parent = ?", run)
  return members.filter((member) => retireRun(tx, member.run)).length
}

const retireRun = (tx: Transaction, run: RunId): boolean => {
  const { db } = tx
  const outcome = db.get<{ kind: number; state: number }>(
    "DELETE FROM outcome WHERE run = ? RETURNING kind, state",
    run,
  )
  // Another process was quicker.
  if (outcome === undefined) return false
  tx.tally(outcome.kind, finals[outcome.state]!, -1)
  db.run("DELETE FROM idempotency WHERE run = ?", run)
  db.run("DELETE FROM journal WHERE run = ?", run)
  db.run("DELETE FROM deadline WHERE run = ?", run)
  db.run("DELETE FROM checkpoint WHERE run = ?", run)
  miss(tx, run)
  db.run("DELETE FROM conclusion WHERE run = ?", run)
  db.run("DELETE FROM progress WHERE run = ?", run)
  db.run("DELETE FROM log WHERE run = ?", run)
  db.run("DELETE FROM placed WHERE run = ?", run)
  db.run("DELETE FROM level_set WHERE run = ?", run)
  db.run("DELETE FROM run WHERE id = ?", run)
  return true
}

const keysByRun = `
  SELECT idempotency.run, run.created_at, outcome.run IS NOT NULL AS has_ended
  FROM idempotency JOIN run ON run.id = idempotency.run
    LEFT JOIN outcome ON outcome.run = idempotency.run
  WHERE idempotency.run > ? ORDER BY idempotency.run LIMIT ${window}`

function* oldKeys(
  at: Connection,
  from: number | undefined,
  limit: number,
  now: number,
): Steps<Look<RunId, number>> {
  const found: Array<RunId> = []
  let place = from ?? 0
  for (let looked = 0; looked < lookedMax; looked += window) {
    yield
    const seen = at.all<{ run: RunId; created_at: number; has_ended: number }>(keysByRun, place)
    for (const { created_at, has_ended, run } of seen) {
      if (created_at > now - Retention.keyMillis) return { found, next: undefined }
      if (has_ended === 1) found.push(run)
      place = run
      if (found.length === limit) return { found, next: place }
    }
    if (seen.length < window) return { found, next: undefined }
  }
  return { found, next: place }
}

const retireKey = ({ db }: Transaction, run: RunId): number =>
  db.run("DELETE FROM idempotency WHERE run = ?", run).changes

/** The earliest records of a trigger, one after the other. */
interface Stretch {
  readonly trigger: number
  readonly slot: number
  readonly through: number
}

/**
 * What is left of records that have left: a stretch from the first to the last of them, so that no
 * slot of it can fire again. It is not listed.
 */
export const used = "used"

const holdersOfSlots = Holders.of(
  "slot",
  `
  SELECT through + lateness_millis FROM slot
  WHERE slot.trigger = holder.id AND reason IS NOT '${used}' ORDER BY slot LIMIT 1`,
)

const recordsOfTrigger = `
  SELECT slot, through, through + lateness_millis AS recorded_at, reason
  FROM slot WHERE trigger = ? ORDER BY slot LIMIT ?`

function* oldSlots(
  at: Connection,
  from: number | undefined,
  limit: number,
  now: number,
): Steps<Look<Stretch, number>> {
  const found: Array<Stretch> = []
  let place = from ?? 0
  let left = limit
  let soonest = Infinity
  const nextHolder = holdersOfSlots(at, now)
  for (let looked = 0; looked < lookedMax && left > 0; looked++) {
    yield
    const trigger = nextHolder(place)
    if (trigger === undefined) return { found, next: undefined, soonest }
    soonest = Math.min(soonest, trigger.leavesAt)
    if (trigger.leavesAt > now) {
      place = trigger.id + 1
      continue
    }
    looked += window
    const most = Math.min(left, window)
    // One more, as the first may be what is left of others.
    const seen = at.all<
      { slot: number; through: number; recorded_at: number; reason: string | null }
    >(recordsOfTrigger, trigger.id, most + 1)
    const stays = seen.findIndex(({ recorded_at }) => recorded_at > trigger.over)
    const gone = stays === -1 ? seen : seen.slice(0, stays)
    const records = gone.filter(({ reason }) => reason !== used).slice(0, most)
    const last = records.at(-1)
    if (last !== undefined) {
      found.push({ trigger: trigger.id, slot: gone[0]!.slot, through: last.through })
    }
    left -= records.length
    // What was found is not deleted yet, so the rest of this trigger waits for the next look.
    place = trigger.id + 1
    if (records.length === most) return { found, next: trigger.id, soonest }
  }
  return { found, next: place, soonest }
}

/** How many runs that were asked for are forgotten as such. */
const retireAsked = ({ db, now }: Transaction, limit: number): number =>
  db.run(
    `DELETE FROM asked WHERE (trigger, kind, key) IN (
       SELECT asked.trigger, asked.kind, asked.key FROM asked
       JOIN trigger ON trigger.id = asked.trigger
       LEFT JOIN task ON task.namespace = trigger.namespace
         AND task.name = json_extract(trigger.definition, '$.task')
       WHERE asked.at <= ?1 - ${Retention.leastMillis} AND asked.at <= ?1 - ${ageOfTask}
       ORDER BY asked.at LIMIT ?2)`,
    now,
    limit,
  ).changes

/** How many records have left. */
const retireStretch = ({ db }: Transaction, { slot, through, trigger }: Stretch): number => {
  const { changes } = db.run(
    "DELETE FROM slot WHERE trigger = ? AND slot > ? AND slot <= ?",
    trigger,
    slot,
    through,
  )
  const first = db.get<{ reason: string | null }>(
    "SELECT reason FROM slot WHERE trigger = ? AND slot = ?",
    trigger,
    slot,
  )
  db.run(
    `UPDATE slot SET through = max(through, ?), outcome = 'skipped', run = NULL, reason = '${used}',
       lateness_millis = 0
     WHERE trigger = ? AND slot = ?`,
    through,
    trigger,
    slot,
  )
  return changes + (first?.reason === used ? 0 : 1)
}

/** Triggers that follow a task, in SQLite: see `TriggerStorage` for the laws. */
import {
  depthMax,
  type EventId,
  tooDeep,
  untaken,
  whilePaused,
} from "../../core/domain/Following.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import { finals } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import type { Follow, Followed, SlotRecord } from "../../core/services/TriggerStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Transaction } from "./Database.ts"
import * as Holders from "./Holders.ts"
import { add } from "./RunRows.ts"
import type { Steps } from "./Snapshots.ts"
import { subscribe, unsubscribe } from "./SqliteOutbox.ts"

const subscriber = (namespace: Namespace, name: TriggerName) => ({
  namespace,
  consumer: Outbox.triggers,
  name,
})

/** Subscribes the trigger as its definition says, or not at all. */
export const attach = (
  tx: Transaction,
  { name, namespace, schedule }: TriggerDefinition,
): void => {
  const of = subscriber(namespace, name)
  if (schedule._tag !== "After") unsubscribe(tx, of)
  else subscribe(tx, { ...of, task: schedule.task, on: schedule.on })
}

export const detach = (tx: Transaction, namespace: Namespace, name: TriggerName): void =>
  void unsubscribe(tx, subscriber(namespace, name))

interface EventRow {
  readonly id: EventId
  readonly run: RunId
  readonly state: number
  readonly at: number
}

const takeEvent = `
  DELETE FROM outbox WHERE id = ?1 AND subscription = (SELECT subscription.id FROM subscription
    JOIN trigger ON trigger.namespace = subscription.namespace AND trigger.name = subscription.name
    WHERE trigger.id = ?2 AND subscription.consumer = '${Outbox.triggers}')
  RETURNING id, run, state, at`

export const follow = (tx: Transaction, { event, fire, revision, trigger }: Follow): Followed => {
  const { db } = tx
  const kept = db.get<{ revision: number; is_paused: number; is_removed: number }>(
    "SELECT revision, is_paused, is_removed FROM trigger WHERE id = ?",
    trigger,
  )
  if (kept === undefined || kept.is_removed === 1 || kept.revision !== revision) {
    return { _tag: "Stale" }
  }
  const row = db.get<EventRow>(takeEvent, event, trigger)
  if (row === undefined) return { _tag: "Already" }
  const before = db.get<{ depth: number }>("SELECT depth FROM followed WHERE run = ?", row.run)
  const depth = 1 + (before?.depth ?? 0)
  const reason = kept.is_paused === 1 ? whilePaused : depth > depthMax ? tooDeep : undefined
  if (reason !== undefined || typeof fire === "string") {
    const why = reason ?? fire as string
    record(tx, trigger, row, depth, undefined, why)
    return { _tag: "Skipped", reason: why }
  }
  const { run } = add(tx, fire, { trigger, slot: row.at })
  record(tx, trigger, row, depth, run, undefined)
  return { _tag: "Fired", run }
}

const record = (
  { db, now }: Transaction,
  trigger: number,
  { at, id, run: after, state }: EventRow,
  depth: number,
  run: RunId | undefined,
  reason: string | undefined,
): void => {
  db.run(
    "INSERT INTO followed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    trigger,
    id,
    run ?? null,
    after,
    state,
    depth,
    at,
    now,
    reason ?? null,
  )
}

/** The run that its run follows. */
export const followedBy = (at: Connection, run: RunId): RunId | undefined =>
  at.get<{ after: RunId }>("SELECT after FROM followed WHERE run = ?", run)?.after

interface RecordRow {
  readonly at: number
  readonly recorded_at: number
  readonly run: RunId | null
  readonly after: RunId
  readonly state: number
  readonly reason: string | null
}

/** Of the event that the run was made for. */
export const recordOf = (at: Connection, run: RunId): SlotRecord | undefined => {
  const row = at.get<RecordRow & { readonly revision: number | null }>(
    `SELECT at, recorded_at, run, after, state, reason, (
       SELECT max(version.revision) FROM trigger_version AS version
       WHERE version.trigger = followed.trigger AND since - 1 <= recorded_at) AS revision
     FROM followed WHERE run = ?`,
    run,
  )
  return row && { ...told(row), ...(row.revision !== null && { revision: row.revision }) }
}

/** The latest first. */
export const records = (
  at: Connection,
  trigger: number,
  limit: number,
): ReadonlyArray<SlotRecord> =>
  at.all<RecordRow>(
    `SELECT at, recorded_at, run, after, state, reason FROM followed
     WHERE trigger = ? ORDER BY event DESC LIMIT ?`,
    trigger,
    limit,
  ).map(told)

const told = (row: RecordRow): SlotRecord => ({
  slot: row.at,
  through: row.at,
  outcome: row.run === null ? "skipped" : "fired",
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && { reason: row.reason }),
  after: { run: row.after, state: finals[row.state]! },
  latenessMillis: Math.max(0, row.recorded_at - row.at),
})

/** The run leaves, and with it what nobody has taken. */
export const miss = (tx: Transaction, run: RunId): void => {
  const { db } = tx
  const gone = db.all<EventRow & { subscription: number }>(
    "DELETE FROM outbox WHERE run = ? RETURNING id, subscription, run, state, at",
    run,
  )
  for (const { subscription, ...event } of gone) {
    db.run("UPDATE subscription SET missed = missed + 1 WHERE id = ?", subscription)
    const trigger = db.get<{ id: number }>(
      `SELECT trigger.id FROM subscription
       JOIN trigger ON trigger.namespace = subscription.namespace AND trigger.name = subscription.name
       WHERE subscription.id = ? AND subscription.consumer = '${Outbox.triggers}'`,
      subscription,
    )
    if (trigger !== undefined) record(tx, trigger.id, event, 0, undefined, untaken)
  }
}

/** One statement takes so many. */
const window = 100

/** The earliest records of a trigger, up to one. */
export interface Stretch {
  readonly trigger: number
  readonly through: number
}

const holdersOfRecords = Holders.of(
  "followed",
  "SELECT recorded_at FROM followed WHERE followed.trigger = holder.id ORDER BY event LIMIT 1",
)

/** One call looks at so many triggers. */
const lookedMax = 20_000

export function* oldRecords(
  at: Connection,
  from: number | undefined,
  limit: number,
  now: number,
): Steps<{
  readonly found: ReadonlyArray<Stretch>
  readonly next: number | undefined
  readonly soonest: number
}> {
  const found: Array<Stretch> = []
  let place = from ?? 0
  let left = limit
  let soonest = Infinity
  const nextHolder = holdersOfRecords(at, now)
  for (let looked = 0; looked < lookedMax && left > 0; looked++) {
    yield
    const trigger = nextHolder(place)
    if (trigger === undefined) return { found, next: undefined, soonest }
    soonest = Math.min(soonest, trigger.leavesAt)
    place = trigger.id + 1
    if (trigger.leavesAt > now) continue
    looked += window
    const seen = at.all<{ event: number; recorded_at: number }>(
      "SELECT event, recorded_at FROM followed WHERE trigger = ? ORDER BY event LIMIT ?",
      trigger.id,
      Math.min(left, window),
    )
    const stays = seen.findIndex(({ recorded_at }) => recorded_at > trigger.over)
    const gone = stays === -1 ? seen : seen.slice(0, stays)
    found.push({ trigger: trigger.id, through: gone.at(-1)!.event })
    left -= gone.length
    // What was found is not deleted yet, so the rest of this trigger waits for the next look.
    if (gone.length === Math.min(left + gone.length, window)) {
      return { found, next: trigger.id, soonest }
    }
  }
  return { found, next: place, soonest }
}

export const retireRecords = ({ db }: Transaction, { through, trigger }: Stretch): number =>
  db.run("DELETE FROM followed WHERE trigger = ? AND event <= ?", trigger, through).changes

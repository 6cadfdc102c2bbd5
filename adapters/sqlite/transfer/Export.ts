/** What an export reads: rows of a SQLite file as records. */
import * as Blocking from "../../../core/domain/Blocking.ts"
import type { ExecutorName, Holder, Incarnation, Standing } from "../../../core/domain/Executor.ts"
import type { Fence, LockKey } from "../../../core/domain/Lease.ts"
import type { Level } from "../../../core/domain/Lane.ts"
import * as Run from "../../../core/domain/Run.ts"
import type { RunId } from "../../../core/domain/RunId.ts"
import type { Failure, Placed } from "../../../core/domain/RunView.ts"
import type { Note, Of, Place, StateRecord } from "../../../core/domain/StateRecord.ts"
import * as Tailing from "../../../core/domain/Tailing.ts"
import type { TaskName } from "../../../core/domain/Task.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import { pageMax } from "../../../core/services/TransferStorage.ts"
import { Connection } from "../Connection.ts"
import { conclusionOf, type KnownConclusion } from "../SqliteConclusions.ts"
import { rankOfRun } from "../RunRows.ts"
import { used } from "../SqliteHistory.ts"
import { askedKinds } from "../SqliteTriggers.ts"
import { calendar, task, trigger } from "./definitions.ts"

/** Everything, a page at a time, in an order in which each refers to what is before it. */
export function* pages(at: Connection, now: number): Generator<ReadonlyArray<StateRecord>> {
  yield [marksOf(at)]
  yield* paged(at, tasks, ["", ""], (row: TaskRow) => [row.namespace, row.name], taskOf)
  yield* paged(at, calendars, ["", ""], (row: TaskRow) => [row.namespace, row.name], calendarOf)
  yield* paged(at, executors, [0], (row: ExecutorRow) => [row.incarnation], executorOf(now))
  yield* paged(at, triggers, [0], (row: TriggerRow & Tailing.Row) => [row.id], triggerOf)
  yield* paged(
    at,
    slots,
    [0, Number.MIN_SAFE_INTEGER],
    (row: SlotRow) => [row.trigger, row.slot],
    slotOf,
  )
  yield* paged(
    at,
    versions,
    [0, 0],
    (row: VersionRow) => [row.trigger, row.revision],
    versionOf,
  )
  yield* paged(
    at,
    asked,
    [0, 0, ""],
    (row: AskedRow) => [row.trigger, row.kind, row.key],
    askedOf,
  )
  yield* paged(at, runs, [0], (row: RunRow) => [row.id], (row) => runOf(at, row))
  yield* paged(
    at,
    states,
    ["", "", ""],
    (row: Omit<Of<"State">, "_tag">) => [row.namespace, row.task, row.key],
    ({ key, namespace, task, value }) => ({ _tag: "State", namespace, task, key, value }),
  )
  yield* paged(
    at,
    permits,
    ["", "", ""],
    (row: Omit<Of<"Permit">, "_tag">) => [row.namespace, row.kind, row.name],
    ({ cell, kind, name, namespace }) => ({ _tag: "Permit", namespace, kind, name, cell }),
  )
  yield* paged(at, locks, [""], (row: LockRow) => [row.key], lockOf(now))
}

/** `select` takes where to go on after, and how many. */
function* paged<Row>(
  at: Connection,
  select: string,
  first: ReadonlyArray<string | number>,
  placeOf: (row: Row) => ReadonlyArray<string | number>,
  recordOf: (row: Row) => StateRecord,
): Generator<ReadonlyArray<StateRecord>> {
  for (let after = first;;) {
    const rows = at.all<Row>(select, ...after, pageMax)
    if (rows.length > 0) yield rows.map(recordOf)
    if (rows.length < pageMax) return
    after = placeOf(rows.at(-1)!)
  }
}

const marksOf = (at: Connection): Of<"Marks"> => ({
  _tag: "Marks",
  ...at.get<Omit<Of<"Marks">, "_tag">>(
    `SELECT (SELECT value FROM meta WHERE key = 'run') AS run,
       (SELECT coalesce(max(id), 0) FROM trigger) AS trigger,
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'executor'), 0) AS incarnation`,
  )!,
})

interface TaskRow {
  readonly namespace: string
  readonly name: string
  readonly definition: string
  readonly revision: number
}

const byName = (table: string) =>
  `SELECT namespace, name, definition, revision FROM ${table}
   WHERE (namespace, name) > (?, ?) ORDER BY namespace, name LIMIT ?`
const tasks = byName("task")
const calendars = byName("calendar")

const taskOf = ({ definition, revision }: TaskRow): Of<"Task"> => ({
  _tag: "Task",
  definition: task.decode(definition),
  revision,
})

const calendarOf = ({ definition, revision }: TaskRow): Of<"Calendar"> => ({
  _tag: "Calendar",
  calendar: calendar.decode(definition),
  revision,
})

interface ExecutorRow {
  readonly incarnation: Incarnation
  readonly namespace: Of<"Executor">["namespace"]
  readonly name: ExecutorName
  readonly standing: Standing
  readonly capacity: number
  readonly labels: string
  readonly resources: string
  readonly tasks: string
  readonly ttl_millis: number
  readonly joined_at: number
  readonly beat_at: number
  readonly ends_at: number
}

const executors = "SELECT * FROM executor WHERE incarnation > ? ORDER BY incarnation LIMIT ?"

const executorOf = (now: number) => (row: ExecutorRow): Of<"Executor"> => {
  const isOver = (row.standing === "live" || row.standing === "draining") && row.ends_at <= now
  return {
    _tag: "Executor",
    incarnation: row.incarnation,
    namespace: row.namespace,
    name: row.name,
    standing: isOver ? "lost" : row.standing,
    capacity: row.capacity,
    labels: JSON.parse(row.labels) as Record<string, string>,
    resources: JSON.parse(row.resources) as Record<string, number>,
    tasks: JSON.parse(row.tasks) as ReadonlyArray<TaskName>,
    ttlMillis: row.ttl_millis,
    joinedAt: row.joined_at,
    beatAt: row.beat_at,
  }
}

interface TriggerRow {
  readonly id: Trigger.TriggerId
  readonly definition: string
  readonly revision: number
  readonly is_paused: number
  readonly is_removed: number
  readonly cursor: number | null
  readonly source: string | null
}

const triggers = `SELECT trigger.*, tail.* FROM trigger LEFT JOIN tail ON tail.trigger = trigger.id
  WHERE id > ? ORDER BY id LIMIT ?`

const triggerOf = (row: TriggerRow & Tailing.Row): Of<"Trigger"> => ({
  _tag: "Trigger",
  id: row.id,
  definition: trigger.decode(row.definition),
  revision: row.revision,
  isPaused: row.is_paused === 1,
  isRemoved: row.is_removed === 1,
  ...(row.cursor !== null && row.is_removed === 0 && { cursor: row.cursor }),
  ...(row.source !== null && { tail: { ...Tailing.ofRow(row), source: row.source } }),
})

interface SlotRow {
  readonly trigger: Trigger.TriggerId
  readonly slot: number
  readonly through: number
  readonly outcome: "fired" | "skipped" | "coalesced"
  readonly run: RunId | null
  readonly reason: string | null
  readonly running: RunId | null
  readonly lateness_millis: number
  readonly revision: number | null
}

const slots = "SELECT * FROM slot WHERE (trigger, slot) > (?, ?) ORDER BY trigger, slot LIMIT ?"

const slotOf = (row: SlotRow): Of<"Slot"> => ({
  _tag: "Slot",
  trigger: row.trigger,
  slot: row.slot,
  through: row.through,
  outcome: row.reason === used ? "used" : row.outcome,
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && row.reason !== used && { reason: row.reason }),
  ...(row.running !== null && { running: row.running }),
  latenessMillis: row.lateness_millis,
  ...(row.revision !== null && { revision: row.revision }),
})

interface VersionRow {
  readonly trigger: Trigger.TriggerId
  readonly revision: number
  readonly since: number
  readonly definition: string | null
  readonly calendar: string | null
}

const versions = `SELECT * FROM trigger_version WHERE (trigger, revision) > (?, ?)
  ORDER BY trigger, revision LIMIT ?`

const versionOf = (row: VersionRow): Of<"TriggerVersion"> => ({
  _tag: "TriggerVersion",
  trigger: row.trigger,
  revision: row.revision,
  since: row.since,
  ...(row.definition !== null && { definition: trigger.decode(row.definition) }),
  ...(row.calendar !== null && { calendar: calendar.decode(row.calendar) }),
})

interface AskedRow {
  readonly trigger: Trigger.TriggerId
  readonly kind: number
  readonly key: string
  readonly slot: number
  readonly run: RunId
  readonly revision: number
  readonly at: number
  readonly request: string
  readonly asked_by: string | null
}

const asked = `SELECT * FROM asked WHERE (trigger, kind, key) > (?, ?, ?)
  ORDER BY trigger, kind, key LIMIT ?`

const askedOf = (row: AskedRow): Of<"Asked"> => ({
  _tag: "Asked",
  trigger: row.trigger,
  kind: askedKinds[row.kind]!,
  request: row.request,
  ...(row.asked_by !== null && { by: row.asked_by }),
  slot: row.slot,
  at: row.at,
  run: row.run,
  revision: row.revision,
})

interface RunRow {
  readonly id: RunId
  readonly namespace: Of<"Run">["namespace"]
  readonly task: TaskName
  readonly lane_name: Of<"Run">["lane"]
  readonly level: Level
  readonly created_at: number
  readonly delay_millis: number
  readonly is_at_most_once: number
  readonly crashes_max: number
  readonly gate: string | null
  readonly gate_places: number | null
  readonly gate_when_full: NonNullable<Of<"Run">["gate"]>["whenFull"] | null
  readonly trigger_name: Trigger.TriggerName | null
  readonly slot: number | null
  readonly idempotency_key: string | null
  readonly is_keyed: number
  readonly payload: string
  readonly level_set: Level | null
  readonly changes: number | null
  readonly deadline_at: number | null
  readonly checkpoint: string | null
  /** As JSON, what is absent as null. */
  readonly conclusion: string | null
  readonly bound_to: Incarnation | null
  readonly placement: string | null
  readonly placed_at: number | null
  readonly parent: RunId | null
  readonly nth: number
  readonly siblings: number
}

const runs = `
  SELECT run.*, kind.namespace, kind.task, lane.name AS lane_name, trigger.name AS trigger_name,
    EXISTS (SELECT 1 FROM idempotency WHERE idempotency.run = run.id) AS is_keyed,
    CASE WHEN level_set.level <> run.level THEN level_set.level END AS level_set,
    level_set.changes, deadline.at AS deadline_at, checkpoint.value AS checkpoint, child.parent, child.nth,
    child.count AS siblings, placed.bound_to, placed.placement, placed.at AS placed_at,
    (SELECT json_object('state', state, 'phase', phase, 'result', result, 'failure', failure)
      FROM conclusion WHERE conclusion.run = run.id) AS conclusion
  FROM (SELECT * FROM run WHERE id > ? ORDER BY id LIMIT ?) AS run
  CROSS JOIN kind ON kind.id = run.kind CROSS JOIN lane ON lane.id = run.lane
  LEFT JOIN trigger ON trigger.id = run.trigger
  LEFT JOIN level_set ON level_set.run = run.id
  LEFT JOIN deadline ON deadline.run = run.id
  LEFT JOIN checkpoint ON checkpoint.run = run.id
  LEFT JOIN child ON child.run = run.id
  LEFT JOIN placed ON placed.run = run.id
  ORDER BY run.id`

interface PlaceRow {
  readonly attempt: number
  readonly crashes: number
  readonly fence: Fence
  readonly settled: Fence
  readonly is_careful: number
  readonly due_at: number | null
  readonly incarnation: Incarnation | null
  readonly claimed_at: number | null
}

const placeIn = (at: Connection, { id }: RunRow): Place => {
  const ended = at.get<
    PlaceRow & {
      state: number
      finished_at: number
      result: string | null
      failure: string | null
    }
  >("SELECT * FROM outcome WHERE run = ?", id)
  if (ended !== undefined) {
    return {
      _tag: "Ended",
      ...courseOf(ended),
      ...grantedOf(ended),
      ...dueOf(ended),
      state: Run.finals[ended.state]!,
      finishedAt: ended.finished_at,
      ...(ended.result !== null && { result: ended.result }),
      ...(ended.failure !== null && { failure: JSON.parse(ended.failure) as Failure }),
    }
  }
  const held = at.get<
    PlaceRow & {
      incarnation: Incarnation
      claimed_at: number
      loop: number
      round: number
      is_started: number
      is_cancelling: number
      is_suspending: number
    }
  >("SELECT * FROM lease WHERE run = ?", id)
  if (held !== undefined) {
    return {
      _tag: "Running",
      ...waitingOf(held),
      ...dueOf(held),
      incarnation: held.incarnation,
      claimedAt: held.claimed_at,
      loop: held.loop,
      round: held.round,
      isStartMarked: held.is_started === 1,
      isCancelling: held.is_cancelling === 1,
      isSuspending: held.is_suspending === 1,
    }
  }
  const parked = at.get<
    PlaceRow & {
      state: "Awaiting" | "Suspended"
      is_parent: number
      since: number
      awaits_until: number | null
      gate: string | null
    }
  >("SELECT * FROM parked WHERE run = ?", id)
  if (parked?.state === "Awaiting") {
    return {
      _tag: "Awaiting",
      ...waitingOf(parked),
      ...grantedOf(parked),
      isParent: parked.is_parent === 1,
      ...(parked.awaits_until !== null && { awaitsUntil: parked.awaits_until }),
    }
  }
  if (parked !== undefined) {
    return {
      _tag: "Suspended",
      ...waitingOf(parked),
      hasPlace: parked.gate !== null,
      since: parked.since,
    }
  }
  const scheduled = at.get<PlaceRow & { due_at: number }>(
    "SELECT * FROM scheduled WHERE run = ?",
    id,
  )
  if (scheduled !== undefined) {
    return { _tag: "Scheduled", ...waitingOf(scheduled), dueAt: scheduled.due_at }
  }
  const blocked = at.get<PlaceRow & Blocking.Place & { level: Level }>(
    `SELECT blocked.*, coalesce(blocked.is_careful, run.is_at_most_once) AS is_careful
     FROM blocked JOIN run ON run.id = blocked.run WHERE blocked.run = ?`,
    id,
  )
  if (blocked !== undefined) {
    const { rank, turn } = blocked
    const isByAge = rank === Blocking.rankByAge(blocked)
    return { _tag: "Blocked", ...waitingOf(blocked), turn, ...(!isByAge && { rank }) }
  }
  const ready = at.get<PlaceRow & { rank: number }>(readyRow, id)
  if (ready === undefined) throw new Error(`run ${id} is in no state`)
  return { _tag: "Ready", ...waitingOf(ready), ...dueOf(ready), rank: ready.rank }
}

/** As `RunRows` finds it: by the rank that follows from the run, or among those with another. */
const readyRow = `
  SELECT ready.* FROM run JOIN ready ON ready.lane = run.lane AND ready.level = run.level
    AND ready.rank = ${rankOfRun} AND ready.run = run.id
  WHERE run.id = ?1
  UNION ALL SELECT * FROM ready WHERE run = ?1 AND is_late = 1
  LIMIT 1`

const courseOf = ({ attempt, crashes, fence, settled }: PlaceRow) => ({
  attempt,
  crashes,
  fence,
  settled,
})
const waitingOf = (row: PlaceRow) => ({ ...courseOf(row), isCareful: row.is_careful === 1 })
const dueOf = ({ due_at }: PlaceRow) => due_at === null ? {} : { dueAt: due_at }
const grantedOf = ({ claimed_at, incarnation }: PlaceRow) => ({
  ...(incarnation !== null && { incarnation }),
  ...(claimed_at !== null && { claimedAt: claimed_at }),
})

const notes = `
  SELECT journal.at, journal.kind, journal.attempt, journal.fence, journal.detail, journal.failure,
    journal.asked_by, executor.incarnation, executor.name
  FROM journal LEFT JOIN executor ON executor.incarnation = journal.incarnation
  WHERE run = ? ORDER BY id`

const notesOf = (at: Connection, run: RunId): ReadonlyArray<Note> =>
  at.all<
    Omit<Note, "by" | "detail" | "executor" | "failure"> & {
      asked_by: string | null
      detail: string | null
      failure: string | null
      incarnation: Holder["incarnation"] | null
      name: Holder["name"]
    }
  >(notes, run).map(({ asked_by, detail, failure, incarnation, name, ...note }) => ({
    ...note,
    ...(asked_by !== null && { by: asked_by }),
    ...(incarnation !== null && { executor: { incarnation, name } }),
    ...(detail !== null && { detail }),
    ...(failure !== null && { failure: JSON.parse(failure) as Failure }),
  }))

const runOf = (at: Connection, row: RunRow): Of<"Run"> => ({
  _tag: "Run",
  id: row.id,
  namespace: row.namespace,
  task: row.task,
  lane: row.lane_name,
  level: row.level,
  payload: row.payload,
  createdAt: row.created_at,
  delayMillis: row.delay_millis,
  isAtMostOnce: row.is_at_most_once === 1,
  crashesMax: row.crashes_max,
  ...(row.gate !== null && {
    gate: {
      key: row.gate as NonNullable<Of<"Run">["gate"]>["key"],
      places: row.gate_places!,
      whenFull: row.gate_when_full!,
    },
  }),
  ...(row.idempotency_key !== null && { idempotencyKey: row.idempotency_key }),
  ...(row.is_keyed === 1 && { keyedBy: "text" }),
  ...(row.trigger_name !== null && { trigger: row.trigger_name }),
  ...(row.slot !== null && { slot: row.slot }),
  ...(row.parent !== null && {
    shard: { parent: row.parent, index: row.nth, count: row.siblings },
  }),
  ...(row.level_set !== null && { levelSet: row.level_set }),
  ...(row.changes !== null && { changes: row.changes }),
  ...(row.deadline_at !== null && { deadlineAt: row.deadline_at }),
  ...(row.checkpoint !== null && { checkpoint: row.checkpoint }),
  ...(row.conclusion !== null && {
    conclusion: conclusionOf(JSON.parse(row.conclusion) as KnownConclusion),
  }),
  ...(row.bound_to !== null && { boundTo: row.bound_to }),
  ...(row.placement !== null && {
    placed: { ...JSON.parse(row.placement) as Placed, at: row.placed_at! },
  }),
  place: placeIn(at, row),
  journal: notesOf(at, row.id),
})

const states = `
  SELECT namespace, task, key, value FROM state WHERE (namespace, task, key) > (?, ?, ?)
  ORDER BY namespace, task, key LIMIT ?`

const permits = `
  SELECT namespace, kind, name, cell FROM permit WHERE (namespace, kind, name) > (?, ?, ?)
  ORDER BY namespace, kind, name LIMIT ?`

interface LockRow {
  readonly key: LockKey
  readonly holder: string
  readonly fence: Fence
  readonly expires_at: number
}

const locks = "SELECT * FROM lock WHERE key > ? ORDER BY key LIMIT ?"

const lockOf = (now: number) => ({ expires_at, fence, holder, key }: LockRow): Of<"Lock"> => ({
  _tag: "Lock",
  key,
  holder,
  fence,
  endsInMillis: Math.max(0, expires_at - now),
})

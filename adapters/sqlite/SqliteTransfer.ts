/**
 * Export from a SQLite file, and import into it: see `TransferStorage` for the laws.
 *
 * An export reads one snapshot on a connection of its own, which holds up nobody. An import is one
 * transaction on a connection of its own: until its commit nobody sees any of it, and whoever wants
 * to write to the file meanwhile has to wait, or finds it locked for too long. A database in memory
 * has but one connection, so there either is done in one go.
 */
import { Effect, Option, Schema, Stream } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import { Calendar } from "../../core/domain/Calendar.ts"
import type { ExecutorName, Holder, Incarnation, Standing } from "../../core/domain/Executor.ts"
import type { Fence, LockKey } from "../../core/domain/Lease.ts"
import type { Level } from "../../core/domain/Lane.ts"
import { Refused } from "../../core/domain/Refused.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Failure, Placed } from "../../core/domain/RunView.ts"
import type { Counts, Note, Of, Place, StateRecord } from "../../core/domain/StateRecord.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import { TaskDefinition, type TaskName } from "../../core/domain/Task.ts"
import { contradictory, counted, notEmpty } from "../../core/domain/Transfer.ts"
import * as Ends from "../../core/domain/Ends.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { pageMax, type TransferStorage } from "../../core/services/TransferStorage.ts"
import { Connection } from "./Connection.ts"
import { conclusionOf, type KnownConclusion } from "./SqliteConclusions.ts"
import type { Database } from "./Database.ts"
import { Names } from "./Names.ts"
import { openFile, openReader } from "./OpenFile.ts"
import { patiently } from "./Patience.ts"
import { rankOfRun } from "./RunRows.ts"
import { failed, isConstraint, unavailable } from "./SqliteError.ts"
import { used } from "./SqliteHistory.ts"
import { askedKinds } from "./SqliteTriggers.ts"

const codecOf = <A>(schema: Schema.Codec<A, unknown>) => {
  const json = Schema.fromJsonString(schema)
  return { encode: Schema.encodeSync(json), decode: Schema.decodeSync(json) }
}
const task = codecOf(TaskDefinition)
const calendar = codecOf(Calendar)
const trigger = codecOf(Trigger.TriggerDefinition)

export const make = (db: Database): TransferStorage => ({
  export: db.file === undefined
    ? Stream.unwrap(Effect.map(
      db.read("export", () => [...pages(db, db.now())]),
      (all) => Stream.fromIterable(all.flat(), { chunkSize: pageMax }),
    ))
    : fromFile(db, db.file),
  import: (records) => db.file === undefined ? atOnce(db, records) : intoFile(db, db.file, records),
})

const fromFile = (
  db: Database,
  file: string,
): Stream.Stream<StateRecord, StorageUnavailable> =>
  Stream.unwrap(Effect.gen(function* () {
    const at = yield* Effect.acquireRelease(
      Effect.try({
        try: () => new Connection(openReader(file)),
        catch: (error) => unavailable("export", error),
      }),
      (at) => Effect.sync(() => at.close()),
    )
    const rest = pages(at, db.now())
    const next = Effect.try({ try: () => rest.next(), catch: (error) => error })
    // The first page is read with the first of the snapshot, which others may keep us from.
    const first = yield* patiently(
      "export",
      Effect.andThen(Effect.try({ try: () => at.prepare("BEGIN").run(), catch: (e) => e }), next),
    )
    return Stream.paginate(first, (page: typeof first) =>
      page.done === true ? Effect.succeed([[], Option.none()] as const) : Effect.map(
        Effect.andThen(
          Effect.yieldNow,
          Effect.catch(next, (error) =>
            failed("export", error)),
        ),
        (after) => [page.value, Option.some(after)] as const,
      ))
  }))

const intoFile = <E>(
  db: Database,
  file: string,
  records: Stream.Stream<StateRecord, E>,
): Effect.Effect<Counts, E | Refused | StorageUnavailable> =>
  Effect.scoped(Effect.gen(function* () {
    const at = new Connection(yield* openFile(file))
    yield* Effect.addFinalizer(() => Effect.sync(() => at.rollback()))
    const said = <A>(act: () => A) => Effect.try({ try: act, catch: (error) => error })
    yield* patiently("import", said(() => at.prepare("BEGIN IMMEDIATE").run()))
    const into = new Import(at, new Names(at))
    const refusal = into.refusal()
    if (refusal !== undefined) return yield* refusal
    yield* Stream.runForEachArray(records, (some) =>
      Effect.andThen(
        Effect.yieldNow,
        Effect.catch(said(() => into.add(some, db.now())), (error) => notTaken(error)),
      ))
    yield* Effect.catch(
      said(() => {
        into.finish(db.now())
        at.prepare("COMMIT").run()
      }),
      (error) => notTaken(error),
    )
    return into.counts
  }))

/** A broken constraint tells of the records, not of us. */
const notTaken = (error: unknown): Effect.Effect<never, Refused | StorageUnavailable> =>
  error instanceof Error && isConstraint(error)
    ? Effect.fail(contradictory(error.message))
    : failed("import", error)

const atOnce = <E>(
  db: Database,
  records: Stream.Stream<StateRecord, E>,
): Effect.Effect<Counts, E | Refused | StorageUnavailable> =>
  Effect.gen(function* () {
    const all = yield* Stream.runCollect(records)
    const answer = yield* db.write("import", (tx) => {
      // Numbers that are rolled back are forgotten with these names.
      const into = new Import(db, new Names(db))
      const refusal = into.refusal()
      if (refusal !== undefined) return refusal
      db.sqlite.exec("SAVEPOINT import")
      try {
        into.add(all, tx.now)
        into.finish(tx.now)
        return into.counts
      } catch (error) {
        if (!isConstraint(error)) throw error
        db.sqlite.exec("ROLLBACK TO import")
        return contradictory((error as Error).message)
      }
    })
    return answer instanceof Refused ? yield* answer : answer
  })

// --- Export

function* pages(at: Connection, now: number): Generator<ReadonlyArray<StateRecord>> {
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

// --- Import

/** Within one transaction. */
class Import {
  counts: Counts = {}
  private readonly at: Connection
  private readonly names: Names
  /** How many runs of a kind are in a state. */
  private readonly tallies = new Map<number, Map<Run.StateName, number>>()

  constructor(at: Connection, names: Names) {
    this.at = at
    this.names = names
  }

  refusal(): Refused | undefined {
    const kept = ["run", "task", "calendar", "trigger", "executor", "state", "permit", "lock"]
      .find((table) => this.at.get(`SELECT 1 FROM ${table} LIMIT 1`) !== undefined)
    return kept === undefined ? undefined : notEmpty(`${kept}s`)
  }

  add(records: ReadonlyArray<StateRecord>, now: number): void {
    for (const record of records) this.addOne(record, now)
    this.counts = counted(this.counts, records)
  }

  /** What is done last: who was here has a whole ttl from now. */
  finish(now: number): void {
    for (const [kind, states] of this.tallies) {
      for (const [state, count] of states) {
        this.at.run("INSERT INTO tally VALUES (?, ?, ?)", kind, state, count)
      }
    }
    this.at.run(
      `UPDATE executor SET beat_at = ?1, ends_at = ?1 + ttl_millis
       WHERE standing IN ('live', 'draining')`,
      now,
    )
  }

  private insert(
    table: string,
    row: Readonly<Record<string, string | number | null | undefined>>,
  ): void {
    const columns = Object.keys(row)
    this.at.run(
      `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
      ...Object.values(row).map((value) => value ?? null),
    )
  }

  private addOne(record: StateRecord, now: number): void {
    switch (record._tag) {
      case "Marks":
        return this.mark(record)
      case "Task": {
        const { definition, revision } = record
        const { name, namespace } = definition
        return this.insert("task", {
          namespace,
          name,
          definition: task.encode(definition),
          revision,
        })
      }
      case "Calendar": {
        const { name, namespace } = record.calendar
        return this.insert("calendar", {
          namespace,
          name,
          definition: calendar.encode(record.calendar),
          revision: record.revision,
        })
      }
      case "Executor":
        return this.addExecutor(record)
      case "Trigger":
        return this.addTrigger(record)
      case "Slot":
        return this.insert("slot", {
          trigger: record.trigger,
          slot: record.slot,
          through: record.through,
          outcome: record.outcome === "used" ? "skipped" : record.outcome,
          run: record.run,
          reason: record.outcome === "used" ? used : record.reason,
          lateness_millis: record.latenessMillis,
          revision: record.revision,
          running: record.running,
        })
      case "TriggerVersion":
        return this.insert("trigger_version", {
          trigger: record.trigger,
          revision: record.revision,
          since: record.since,
          definition: record.definition && trigger.encode(record.definition),
          calendar: record.calendar && calendar.encode(record.calendar),
        })
      case "Asked":
        return this.insert("asked", {
          trigger: record.trigger,
          kind: askedKinds.indexOf(record.kind),
          key: record.kind === "manual" ? record.request : `${record.slot}`,
          slot: record.slot,
          run: record.run,
          revision: record.revision,
          at: record.at,
          request: record.request,
          asked_by: record.by,
        })
      case "Run":
        return this.addRun(record)
      case "State": {
        const { key, namespace, task, value } = record
        return this.insert("state", { namespace, task, key, value })
      }
      case "Permit": {
        const { cell, kind, name, namespace } = record
        return this.insert("permit", { namespace, kind, name, cell })
      }
      case "Lock": {
        const { endsInMillis, fence, holder, key } = record
        return this.insert("lock", {
          key,
          holder,
          fence,
          ttl_millis: endsInMillis,
          expires_at: now + endsInMillis,
        })
      }
    }
  }

  /** The number of the last trigger is that of its row, which stays. */
  private mark({ incarnation, run }: Of<"Marks">): void {
    this.at.run("UPDATE meta SET value = max(value, ?) WHERE key = 'run'", run)
    this.at.run("DELETE FROM sqlite_sequence WHERE name = 'executor'")
    this.at.run("INSERT INTO sqlite_sequence VALUES ('executor', ?)", incarnation)
  }

  private addExecutor(record: Of<"Executor">): void {
    const { beatAt, standing, ttlMillis } = record
    this.insert("executor", {
      incarnation: record.incarnation,
      namespace: record.namespace,
      name: record.name,
      standing,
      capacity: record.capacity,
      labels: JSON.stringify(record.labels),
      resources: JSON.stringify(record.resources),
      tasks: JSON.stringify(record.tasks),
      ttl_millis: ttlMillis,
      joined_at: record.joinedAt,
      beat_at: beatAt,
      ends_at: standing === "left" ? beatAt : beatAt + ttlMillis,
      // Whether it holds anything, the next recovery finds out.
      may_hold: 1,
    })
  }

  private addTrigger(record: Of<"Trigger">): void {
    const { definition } = record
    const { name, namespace, schedule } = definition
    this.insert("trigger", {
      id: record.id,
      namespace,
      name,
      partition: Trigger.partitionOf(namespace, name),
      definition: trigger.encode(definition),
      revision: record.revision,
      is_paused: Number(record.isPaused),
      is_removed: Number(record.isRemoved),
      cursor: record.cursor,
      calendar: Trigger.calendarOf(schedule),
      is_permanent: Number(schedule._tag === "Permanent"),
    })
    if (record.tail !== undefined) {
      const { source } = record.tail
      this.insert("tail", { trigger: record.id, source, ...Tailing.rowOf(record.tail) })
    }
    if (schedule._tag !== "After" || record.isRemoved) return
    this.insert("subscription", {
      namespace,
      consumer: Outbox.triggers,
      name,
      partition: Trigger.partitionOf(namespace, name),
      kind: this.names.kindOf(namespace, schedule.task),
      ends: Ends.bitsOf(schedule.on),
    })
  }

  private addRun(record: Of<"Run">): void {
    const { changes, checkpoint, deadlineAt, gate, id, idempotencyKey, levelSet, shard } = record
    const kind = this.names.kindOf(record.namespace, record.task)
    const lane = this.names.laneOf(record.lane)
    const from = record.trigger === undefined ? undefined : this.at.get<{ id: number }>(
      "SELECT id FROM trigger WHERE namespace = ? AND name = ?",
      record.namespace,
      record.trigger,
    )
    this.insert("run", {
      id,
      kind,
      lane,
      level: record.level,
      created_at: record.createdAt,
      delay_millis: record.delayMillis,
      is_at_most_once: Number(record.isAtMostOnce),
      crashes_max: record.crashesMax,
      gate: gate?.key,
      gate_places: gate?.places,
      gate_when_full: gate?.whenFull,
      trigger: from?.id,
      slot: record.slot,
      idempotency_key: idempotencyKey,
      payload: record.payload,
    })
    if (record.keyedBy !== undefined) {
      this.insert("idempotency", { namespace: record.namespace, key: idempotencyKey, run: id })
    }
    if (shard !== undefined) {
      const { count, index, parent } = shard
      this.insert("child", { parent, nth: index, count, run: id })
    }
    if (levelSet !== undefined || changes !== undefined) {
      this.insert("level_set", { run: id, level: levelSet ?? record.level, changes: changes ?? 1 })
    }
    if (deadlineAt !== undefined) this.insert("deadline", { run: id, at: deadlineAt })
    if (checkpoint !== undefined) this.insert("checkpoint", { run: id, value: checkpoint })
    if (record.conclusion !== undefined) {
      const { failure, ...conclusion } = record.conclusion
      this.insert("conclusion", {
        run: id,
        fence: record.place.fence,
        ...conclusion,
        failure: failure && JSON.stringify(failure),
      })
    }
    const { boundTo, placed } = record
    if (boundTo !== undefined || placed !== undefined) {
      const { at, ...placement } = placed ?? {}
      this.insert("placed", {
        run: id,
        bound_to: boundTo,
        at,
        placement: placed && JSON.stringify(placement),
      })
    }
    for (const { at, attempt, by, detail, executor, failure, fence, kind } of record.journal) {
      this.insert("journal", {
        run: id,
        at,
        kind,
        attempt,
        fence,
        detail,
        failure: failure && JSON.stringify(failure),
        incarnation: executor?.incarnation,
        asked_by: by,
      })
    }
    this.put(record, kind, lane)
    const state = record.place._tag === "Ended" ? record.place.state : record.place._tag
    const states = this.tallies.get(kind) ?? new Map<Run.StateName, number>()
    this.tallies.set(kind, states.set(state, (states.get(state) ?? 0) + 1))
  }

  /** Where it stands. */
  private put(record: Of<"Run">, kind: number, lane: number): void {
    const { createdAt, gate, id, place } = record
    const level = record.levelSet ?? record.level
    const { attempt, crashes, fence, settled } = place
    const course = { run: id, kind, attempt, crashes, fence, settled }
    const gateKey = gate?.key
    switch (place._tag) {
      case "Scheduled":
        return this.insert("scheduled", {
          ...course,
          is_careful: Number(place.isCareful),
          due_at: place.dueAt,
          gate: gateKey,
        })
      case "Blocked":
        return this.insert("blocked", {
          ...course,
          is_careful: Number(place.isCareful),
          gate: gateKey,
          level,
          turn: place.turn,
          rank: place.rank ?? Blocking.rankByAge({ level, turn: place.turn }),
        })
      case "Ready":
        return this.insert("ready", {
          ...course,
          is_careful: Number(place.isCareful),
          lane,
          level,
          rank: place.rank,
          is_late: 1,
          due_at: place.dueAt,
          gate: gateKey,
        })
      case "Running":
        return this.insert("lease", {
          ...course,
          is_careful: Number(place.isCareful),
          incarnation: place.incarnation,
          loop: place.loop,
          round: place.round,
          is_started: Number(place.isStartMarked),
          is_cancelling: Number(place.isCancelling),
          is_suspending: Number(place.isSuspending),
          claimed_at: place.claimedAt,
          due_at: place.dueAt,
          gate: gateKey,
        })
      case "Awaiting":
      case "Suspended": {
        const isAwaiting = place._tag === "Awaiting"
        const isAdmitted = !isAwaiting && place.hasPlace
        return this.insert("parked", {
          ...course,
          is_careful: Number(place.isCareful),
          state: place._tag,
          is_parent: Number(isAwaiting && place.isParent),
          is_admitted: Number(isAdmitted),
          since: isAwaiting ? place.claimedAt ?? createdAt : place.since,
          awaits_until: isAwaiting ? place.awaitsUntil : undefined,
          incarnation: isAwaiting ? place.incarnation : undefined,
          claimed_at: isAwaiting ? place.claimedAt : undefined,
          gate: isAwaiting || isAdmitted ? gateKey : undefined,
        })
      }
      case "Ended":
        return this.insert("outcome", {
          ...course,
          is_careful: 0,
          state: Run.finals.indexOf(place.state),
          incarnation: place.incarnation,
          claimed_at: place.claimedAt,
          due_at: place.dueAt,
          finished_at: place.finishedAt,
          result: place.result,
          failure: place.failure && JSON.stringify(place.failure),
        })
    }
  }
}

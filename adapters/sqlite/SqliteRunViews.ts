/** Runs as others see them: the questions of `RunStorage`, each answered from one snapshot. */
import { DateTime, Effect, Option } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import * as Change from "../../core/domain/Change.ts"
import { shown } from "../../core/domain/Conclusion.ts"
import type { ExecutorName, Holder, Incarnation } from "../../core/domain/Executor.ts"
import * as History from "../../core/domain/History.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import {
  type Failure,
  type Placed,
  type Reason,
  type RunHappening,
  type RunView,
  unserved,
} from "../../core/domain/RunView.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import type { RunQuery, RunStorage } from "../../core/services/RunStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Database } from "./Database.ts"
import { briefOf, deadlineOf, rowOf, type RunRow } from "./RunRows.ts"
import type { Steps } from "./Snapshots.ts"
import { gateOf, heldAt, holdersOf, touchingReason } from "./SqliteAdmission.ts"
import { followedBy } from "./SqliteFollowing.ts"

/** No list is longer, whatever was asked for. */
const listed = 10_000

export const make = (
  db: Database,
): Pick<
  RunStorage,
  "find" | "findMany" | "list" | "state" | "depth" | "backlog" | "counts" | "events" | "why"
> => {
  return {
    find: (run) =>
      db.read(
        "find",
        () => Option.map(Option.fromNullishOr(rowOf(db, run)), (row) => viewOf(db, row)),
      ),
    findMany: (runs) => db.readInTurns("findMany", (at) => views(at, runs)),
    list: (query) =>
      db.readInTurns("list", function* (at) {
        return yield* views(at, yield* idsOf(at, query), query.isBrief === true ? briefOf : rowOf)
      }),
    state: (namespace, task, key) =>
      Effect.map(
        db.read("state", () =>
          db.get<{ readonly value: string }>(
            "SELECT value FROM state WHERE namespace = ? AND task = ? AND key = ?",
            namespace,
            task,
            key,
          )),
        (row) => Option.map(Option.fromNullishOr(row), ({ value }) => value),
      ),
    depth: (lanes, atMost) => db.read("depth", () => depth(db, lanes, atMost)),
    backlog: (lanes, atMost) =>
      db.read("backlog", () => {
        const ready = depth(db, lanes, atMost)
        return ready >= atMost ? ready : ready + blockedOf(db, lanes, atMost - ready)
      }),
    counts: (namespace, tasks) => db.read("counts", () => counts(db, namespace, tasks)),
    events: (run) => db.read("events", () => events(db, run)),
    why: (run) =>
      db.read("why", () =>
        Option.map(
          Option.fromNullishOr(rowOf(db, run)),
          (row) => reasonOf(db, row, db.now()),
        )),
  }
}

function* views(
  at: Connection,
  runs: ReadonlyArray<RunId>,
  read = rowOf,
): Steps<ReadonlyArray<RunView>> {
  const found: Array<RunView> = []
  for (const run of runs) {
    const row = read(at, run)
    if (row !== undefined) found.push(viewOf(at, row))
    yield
  }
  return found
}

const failureOf = ({ failure }: RunRow): { readonly failure?: Failure } =>
  failure === null ? {} : { failure: JSON.parse(failure) as Failure }

const afterOf = (at: Connection, run: RunId): Pick<RunView, "after"> => {
  const after = followedBy(at, run)
  return after === undefined ? {} : { after }
}

/** It is the first thing that happens to a run, if it does. */
const askedOf = (at: Connection, run: RunId): Pick<RunView, "asked"> => {
  const first = at.get<{ kind: string; detail: string | null }>(
    "SELECT kind, detail FROM journal WHERE run = ? ORDER BY id LIMIT 1",
    run,
  )
  return first?.kind === Asked.kind ? { asked: Asked.ofText(first.detail ?? "") } : {}
}

/** Of one that waits, and was never granted. */
const deadlineAtOf = (at: Connection, { id, state }: RunRow): Pick<RunView, "deadlineAt"> => {
  const deadlineAt = waits.includes(state) ? deadlineOf(at, id) : undefined
  return deadlineAt === undefined ? {} : { deadlineAt: DateTime.makeUnsafe(deadlineAt) }
}

const waits: ReadonlyArray<Run.StateName> = ["Scheduled", "Blocked", "Ready", "Suspended"]

const viewOf = (at: Connection, row: RunRow): RunView => ({
  id: row.id,
  namespace: row.namespace as Namespace,
  task: row.task as TaskName,
  state: row.state,
  attempt: row.attempt,
  crashes: row.crashes,
  fence: row.fence,
  lane: row.lane_name as Lane.Lane,
  level: row.level,
  ...(row.level !== row.submitted_level && { submittedLevel: row.submitted_level }),
  ...(row.fence === 0 && row.is_careful === 1 && deadlineAtOf(at, row)),
  ...(row.changes > 0 && { revision: Change.firstRevision + row.changes }),
  payload: row.payload,
  createdAt: DateTime.makeUnsafe(row.created_at),
  dueAt: DateTime.makeUnsafe(row.due_at),
  ...(row.result !== null && { result: row.result }),
  ...failureOf(row),
  ...(row.idempotency_key !== null && { idempotencyKey: row.idempotency_key }),
  ...(row.gate !== null && { gate: row.gate as Blocking.GateKey }),
  ...(row.trigger_name !== null && { trigger: row.trigger_name as RunView["trigger"] & string }),
  ...(row.slot !== null && { slot: DateTime.makeUnsafe(row.slot) }),
  ...(row.is_suspending === 1 && { isSuspending: true }),
  ...(row.parent !== null && {
    shard: { parent: row.parent, index: row.nth!, count: row.siblings! },
  }),
  ...(row.trigger_name !== null && afterOf(at, row.id)),
  ...askedOf(at, row.id),
  ...(row.state !== "Awaiting" && holderOf(row)),
  ...(row.placement !== null && {
    placed: {
      ...JSON.parse(row.placement) as Placed,
      at: DateTime.makeUnsafe(row.placed_at!),
    },
  }),
  ...(row.claimed_at !== null && { claimedAt: DateTime.makeUnsafe(row.claimed_at) }),
  ...(row.finished_at !== null && { finishedAt: DateTime.makeUnsafe(row.finished_at) }),
  ...(row.is_cancelling === 1 && { isCancelling: true }),
  ...phaseOf(row),
})

const phaseOf = ({ phase }: RunRow) => {
  const seen = shown(phase ?? undefined)
  return seen === undefined ? {} : { phase: seen }
}

const kindsOf = (at: Connection, namespace: Namespace, task?: TaskName): ReadonlyArray<number> =>
  (task === undefined
    ? at.all<{ id: number }>("SELECT id FROM kind WHERE namespace = ?", namespace)
    : at.all<{ id: number }>(
      "SELECT id FROM kind WHERE namespace = ? AND task = ?",
      namespace,
      task,
    )).map(({ id }) => id)

type Ids = ReadonlyArray<{ readonly run: RunId }>

/** The latest first: of each kind and state the first, merged. */
function* idsOf(at: Connection, query: RunQuery): Steps<ReadonlyArray<RunId>> {
  const before = query.before ?? Number.MAX_SAFE_INTEGER
  const limit = Math.max(0, Math.min(query.limit, listed))
  if (query.parent !== undefined) return yield* childrenOf(at, query, query.parent, before, limit)
  const states = query.states === undefined ? [undefined] : [...new Set(query.states)]
  let found: Array<RunId> = []
  for (const kind of kindsOf(at, query.namespace, query.task)) {
    for (const state of states) {
      const some = state === undefined
        ? latest(at, kind, before, limit)
        : yield* latestIn(at, state, kind, before, limit)
      for (const { run } of some) found.push(run)
      if (found.length > 2 * limit) found = first(found, limit)
      yield
    }
  }
  return first(found, limit)
}

/** They are few, so the other conditions are looked at one by one. */
function* childrenOf(
  at: Connection,
  { namespace, states, task }: RunQuery,
  parent: RunId,
  before: number,
  limit: number,
): Steps<ReadonlyArray<RunId>> {
  const children = at.all<{ run: RunId }>(
    "SELECT run FROM child WHERE parent = ? AND run < ? ORDER BY run DESC",
    parent,
    before,
  )
  const found: Array<RunId> = []
  for (const { run } of children) {
    if (found.length === limit) break
    const row = rowOf(at, run)!
    const isWanted = row.namespace === namespace && (task === undefined || row.task === task) &&
      (states === undefined || states.includes(row.state))
    if (isWanted) found.push(run)
    yield
  }
  return found
}

const first = (runs: Array<RunId>, limit: number): Array<RunId> =>
  runs.sort((a, b) => b - a).slice(0, limit)

const latest = (at: Connection, kind: number, before: number, limit: number): Ids =>
  at.all(
    "SELECT id AS run FROM run WHERE kind = ? AND id < ? ORDER BY id DESC LIMIT ?",
    kind,
    before,
    limit,
  )

/** Each state is listed from its own table. */
function* latestIn(
  at: Connection,
  state: Run.StateName,
  kind: number,
  before: number,
  limit: number,
): Steps<Ids> {
  const { runs } = at.get<{ runs: number }>(
    "SELECT runs FROM tally WHERE kind = ? AND state = ?",
    kind,
    state,
  ) ?? { runs: 0 }
  if (runs === 0) return []
  switch (state) {
    case "Scheduled":
      return at.all(
        "SELECT run FROM scheduled WHERE kind = ? AND run < ? ORDER BY run DESC LIMIT ?",
        kind,
        before,
        limit,
      )
    case "Blocked":
      return at.all(
        "SELECT run FROM blocked WHERE kind = ? AND run < ? ORDER BY run DESC LIMIT ?",
        kind,
        before,
        limit,
      )
    case "Running":
      return at.all(
        "SELECT run FROM lease WHERE kind = ? AND run < ? ORDER BY run DESC LIMIT ?",
        kind,
        before,
        limit,
      )
    case "Awaiting":
    case "Suspended":
      return at.all(
        "SELECT run FROM parked WHERE kind = ? AND state = ? AND run < ? ORDER BY run DESC LIMIT ?",
        kind,
        state,
        before,
        limit,
      )
    case "Ready":
      if (isLong(at)) return yield* walked(at, readyOnes, kind, before, Math.min(limit, runs))
      return at.all(
        "SELECT run FROM ready WHERE kind = ? AND run < ? ORDER BY run DESC LIMIT ?",
        kind,
        before,
        limit,
      )
    case "Succeeded":
      return yield* walked(at, succeededOnes, kind, before, Math.min(limit, runs))
    default:
      return at.all(
        `SELECT run FROM outcome WHERE kind = ? AND state = ? AND state <> 0 AND run < ?
         ORDER BY run DESC LIMIT ?`,
        kind,
        Run.finals.indexOf(state),
        before,
        limit,
      )
  }
}

/** Whether so many runs are ready that those of one kind are not sought among all. */
const isLong = (at: Connection): boolean =>
  at.get("SELECT 1 FROM ready LIMIT 1 OFFSET 10000") !== undefined

/** So many runs are looked at by one step on the way back through those of a kind. */
const walkedAtOnce = 500

const onTheWay = (isWanted: string) => `
  SELECT id AS run, ${isWanted} AS isWanted FROM run
  WHERE kind = ? AND id < ? ORDER BY id DESC LIMIT ${walkedAtOnce}`

const succeededOnes = onTheWay(
  "EXISTS (SELECT 1 FROM outcome WHERE outcome.run = run.id AND outcome.state = 0)",
)

const readyOnes = onTheWay(`
  NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.run = run.id)
  AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.run = run.id)
  AND NOT EXISTS (SELECT 1 FROM scheduled WHERE scheduled.run = run.id)
  AND NOT EXISTS (SELECT 1 FROM blocked WHERE blocked.run = run.id)
  AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.run = run.id)`)

/** The latest, found on the way back; there are at least `count` of all ages. */
function* walked(
  at: Connection,
  some: string,
  kind: number,
  before: number,
  count: number,
): Steps<Ids> {
  const found: Array<{ readonly run: RunId }> = []
  for (let from = before;;) {
    const seen = at.all<{ run: RunId; isWanted: number }>(some, kind, from)
    for (const { isWanted, run } of seen) {
      if (isWanted === 1) found.push({ run })
      if (found.length === count) return found
    }
    if (seen.length < walkedAtOnce) return found
    from = seen.at(-1)!.run
    yield
  }
}

const counts = (db: Database, namespace: Namespace, tasks?: ReadonlyArray<TaskName>) => {
  const counts: Partial<Record<Run.StateName, number>> = {}
  const rows = db.all<{ state: Run.StateName; runs: number }>(
    `SELECT tally.state, sum(tally.runs) AS runs
     FROM kind CROSS JOIN tally ON tally.kind = kind.id WHERE kind.namespace = ?1
       AND (?2 IS NULL OR kind.task IN (SELECT value FROM json_each(?2)))
     GROUP BY tally.state HAVING sum(tally.runs) > 0`,
    namespace,
    tasks === undefined ? null : JSON.stringify(tasks),
  )
  for (const { runs, state } of rows) counts[state] = runs
  return counts
}

const depth = (db: Database, lanes: ReadonlyArray<Lane.Lane>, atMost: number): number =>
  lanes.reduce((sum, lane) =>
    sum + (sum >= atMost ? 0 : db.get<{ readonly depth: number }>(
      `SELECT count(*) AS depth FROM (SELECT 1 FROM ready
         WHERE lane = (SELECT id FROM lane WHERE name = ?) LIMIT ?)`,
      lane,
      atMost - sum,
    )!.depth), 0)

/** By the index of their tasks: for its lane the row of each run would have to be read. */
const blockedOf = (db: Database, lanes: ReadonlyArray<Lane.Lane>, atMost: number): number =>
  db.get<{ readonly depth: number }>(
    `SELECT count(*) AS depth FROM (SELECT 1 FROM blocked WHERE kind IN (
         SELECT kind.id FROM json_each(?) AS lanes CROSS JOIN kind
           ON kind.namespace = lanes.value ->> '$.namespace' AND kind.task = lanes.value ->> '$.task')
       LIMIT ?)`,
    JSON.stringify(lanes.map(Lane.taskOf)),
    atMost,
  )!.depth

type NamedRow = Pick<RunRow, "executor_name" | "incarnation">

type JournalRow = Omit<History.Entry, "by" | "detail" | "executor"> & NamedRow & {
  readonly asked_by: string | null
  readonly detail: string | null
}

const holderOf = ({ executor_name, incarnation }: NamedRow): { readonly executor?: Holder } =>
  incarnation === null || executor_name === null ? {} : {
    executor: { incarnation: incarnation as Incarnation, name: executor_name as ExecutorName },
  }

const events = (db: Database, run: RunId): ReadonlyArray<RunHappening> => {
  const row = rowOf(db, run)
  if (row === undefined) return []
  const { attempt, claimed_at, created_at, fence, finished_at, state } = row
  const journal = db.all<JournalRow>(
    `SELECT journal.at, journal.kind, journal.attempt, journal.fence, journal.detail,
       journal.asked_by, executor.incarnation, executor.name AS executor_name
     FROM journal LEFT JOIN executor ON executor.incarnation = journal.incarnation
     WHERE run = ? ORDER BY id`,
    run,
  )
  const { failure } = failureOf(row)
  const end = finished_at === null ? undefined : {
    at: finished_at,
    kind: state,
    ...(failure !== undefined && { detail: failure.message }),
  }
  return History.of(
    {
      createdAt: created_at,
      attempt,
      fence,
      claimedAt: claimed_at ?? undefined,
      executor: holderOf(row).executor,
      end,
    },
    journal.map(({ asked_by, at, attempt, detail, fence, kind, ...named }) => ({
      at,
      kind,
      attempt,
      fence,
      ...(detail !== null && { detail }),
      ...(asked_by !== null && { by: asked_by }),
      ...holderOf(named),
    })),
  )
}

const reasonOf = (db: Database, row: RunRow, now: number): Reason => {
  switch (row.state) {
    case "Scheduled":
      return { _tag: "DueLater", at: DateTime.makeUnsafe(row.due_at), ...failureOf(row) }
    case "Blocked":
      return blockedReason(db, row)
    case "Ready":
      return readyReason(db, row, now)
    case "Running":
      return {
        _tag: "Held",
        incarnation: row.incarnation as Incarnation,
        name: row.executor_name as ExecutorName,
        isCancelling: row.is_cancelling === 1,
        ...(row.is_suspending === 1 && { isSuspending: true }),
      }
    case "Awaiting":
      if (row.is_parent === 1) return childrenReason(db, row)
      return {
        _tag: "Awaits",
        ...(row.awaits_until !== null && { until: DateTime.makeUnsafe(row.awaits_until) }),
      }
    case "Suspended":
      return { _tag: "Suspended", since: DateTime.makeUnsafe(row.since!) }
    default:
      return { _tag: "Ended", state: row.state, ...failureOf(row) }
  }
}

const childrenReason = (db: Database, { id }: RunRow): Reason => {
  const left = db.all<{ run: RunId }>(
    `SELECT run FROM child WHERE parent = ?
       AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.run = child.run) ORDER BY nth`,
    id,
  )
  const children = left.slice(0, 10).map(({ run }) => run)
  return { _tag: "AwaitsChildren", left: left.length, children }
}

const blockedReason = (db: Database, row: RunRow): Reason => {
  const gate = gateOf(row)
  if (Touching.isGate(gate.key)) return touchingReason(db, row)
  const held = heldAt(db, gate.key)
  if (Blocking.decide(gate, held) === "admit") return { _tag: "GateOpen", gate: gate.key }
  const { ahead } = db.get<{ ahead: number }>(
    `SELECT count(*) AS ahead FROM (
       SELECT 1 FROM blocked WHERE gate = ? AND (rank, turn) < (?, ?) LIMIT ${aheadMax}
     )`,
    gate.key,
    row.rank,
    row.turn,
  )!
  return { _tag: "GateFull", gate: gate.key, holders: holdersOf(db, gate.key, 10), ahead }
}

const readyReason = (db: Database, row: RunRow, now: number): Reason => {
  const task = row.task as TaskName
  const lane = row.ready_lane_name as Lane.Lane
  if (Lane.isUnplaced(lane)) return { _tag: "Unplaced", task, passedOver: [] }
  const serving = db.all<{ labels: string }>(
    `SELECT DISTINCT executor.labels FROM executor, json_each(executor.tasks) AS served
     WHERE executor.namespace = ? AND executor.ends_at > ? AND executor.standing = 'live'
       AND served.value = ?`,
    row.namespace,
    now,
    task,
  )
  return unserved(task, lane, serving.map(({ labels }) => JSON.parse(labels))) ??
    { _tag: "Waiting", lane, ahead: aheadOf(db, row, now) }
}

/** Past this many it does not matter how many more there are. */
const aheadMax = 10_000
const later = Number.MAX_SAFE_INTEGER

/** How many of its lane go before it by `Lane.order`; in each level those before a bound. */
const aheadOf = (db: Database, row: RunRow, now: number): number => {
  const rank = row.rank!
  const boundOf = (level: Lane.Level): readonly [rank: number, run: number] => {
    if (rank <= now || level === row.level) return [rank, row.id]
    return level < row.level ? [later, later] : [now, later]
  }
  let ahead = 0
  for (const level of Lane.levels) {
    ahead += db.get<{ ahead: number }>(
      `SELECT count(*) AS ahead FROM (
         SELECT 1 FROM ready WHERE lane = ? AND level = ? AND (rank, run) < (?, ?)
         LIMIT ${aheadMax}
       )`,
      row.ready_lane,
      level,
      ...boundOf(level),
    )!.ahead
  }
  return ahead
}

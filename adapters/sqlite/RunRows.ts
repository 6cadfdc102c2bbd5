/**
 * A run as its rows tell, and the one place where single runs move from table to table.
 *
 * The table a run stands in is its state, so `move` takes it from one and puts it into the next, as
 * `Run.advance` says. What moves many runs in one statement is in `SqliteRuns`, next to the cell of
 * the table that it repeats.
 */
import { Result } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { Conclusion } from "../../core/domain/Conclusion.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import type { RunSpec } from "../../core/services/RunStorage.ts"
import { isSoon, ofDue } from "../../core/services/Wakeups.ts"
import type { Connection } from "./Connection.ts"
import type { Transaction } from "./Database.ts"
import { tell } from "./SqliteOutbox.ts"

/** All rows of a run as one; columns of tables it does not stand in are null. */
export interface RunRow {
  readonly id: RunId
  readonly kind: number
  readonly namespace: string
  readonly task: string
  readonly lane: number
  readonly lane_name: string
  readonly level: Lane.Level
  /** An operator has set the other since. */
  readonly submitted_level: Lane.Level
  /** How often it was changed. */
  readonly changes: number
  readonly created_at: number
  readonly delay_millis: number
  readonly is_at_most_once: number
  readonly crashes_max: number
  readonly gate: string | null
  readonly gate_places: number | null
  readonly gate_when_full: Blocking.Gate["whenFull"] | null
  readonly trigger_name: string | null
  readonly slot: number | null
  readonly idempotency_key: string | null
  readonly payload: string
  readonly state: Run.StateName
  readonly attempt: number
  readonly crashes: number
  readonly fence: Fence
  readonly settled: number
  readonly is_careful: number
  readonly due_at: number
  readonly rank: number | null
  /** Where it is ready: its own lane, until it is placed. */
  readonly ready_lane: number | null
  readonly ready_lane_name: string | null
  readonly turn: number | null
  readonly incarnation: number | null
  readonly executor_name: string | null
  readonly is_started: number | null
  readonly is_cancelling: number | null
  readonly is_suspending: number | null
  readonly is_parent: number | null
  readonly is_admitted: number | null
  /** Since when it is parked. */
  readonly since: number | null
  readonly awaits_until: number | null
  /** Of a running one, once its outcome is known. */
  readonly phase: Conclusion["phase"] | null
  readonly parent: RunId | null
  readonly nth: number | null
  readonly siblings: number | null
  readonly placement: string | null
  readonly placed_at: number | null
  readonly claimed_at: number | null
  readonly finished_at: number | null
  readonly result: string | null
  readonly failure: string | null
}

/** Of the level in a row: what its rank is later than the instant at which it became ready. */
export const patienceOf = (table: string): string =>
  `CASE ${table}.level ${
    Lane.levels.map((level) => `WHEN ${level} THEN ${Lane.patienceMillis[level]}`).join(" ")
  } END`

/** The rank of one that was ready from its submit, and has no deadline. */
export const rankOfRun = `run.created_at + ${patienceOf("run")}`

const finalOfNumber = Run.finals.map((state, at) => `WHEN ${at} THEN '${state}'`).join(" ")

const numberOf = (column: string) =>
  `coalesce(lease.${column}, ready.${column}, late.${column}, scheduled.${column},
    outcome.${column}, parked.${column}, blocked.${column}, 0) AS ${column}`

/** One statement is one snapshot, so a run is seen in one state. The last failure is the journal's. */
const selectRun = `
  SELECT run.id, run.kind, kind.namespace, kind.task, run.lane, lane.name AS lane_name,
    coalesce(level_set.level, run.level) AS level, run.level AS submitted_level,
    coalesce(level_set.changes, 0) AS changes,
    run.created_at, run.delay_millis, run.is_at_most_once, run.crashes_max,
    run.gate, run.gate_places, run.gate_when_full,
    trigger.name AS trigger_name, run.slot, run.idempotency_key, run.payload,
    CASE
      WHEN outcome.run IS NOT NULL THEN CASE outcome.state ${finalOfNumber} END
      WHEN lease.run IS NOT NULL THEN 'Running'
      WHEN ready.run IS NOT NULL OR late.run IS NOT NULL THEN 'Ready'
      WHEN blocked.run IS NOT NULL THEN 'Blocked'
      WHEN parked.run IS NOT NULL THEN parked.state
      WHEN scheduled.run IS NOT NULL THEN 'Scheduled'
    END AS state,
    ${numberOf("attempt")}, ${numberOf("crashes")}, ${numberOf("fence")}, ${numberOf("settled")},
    coalesce(lease.is_careful, ready.is_careful, late.is_careful, scheduled.is_careful,
      outcome.is_careful, parked.is_careful, blocked.is_careful, run.is_at_most_once) AS is_careful,
    coalesce(lease.due_at, ready.due_at, late.due_at, scheduled.due_at, outcome.due_at,
      run.created_at + run.delay_millis) AS due_at,
    coalesce(ready.rank, late.rank, blocked.rank) AS rank, blocked.turn,
    coalesce(ready.lane, late.lane) AS ready_lane,
    CASE WHEN ready.run IS NOT NULL THEN lane.name ELSE at.name END AS ready_lane_name,
    placed.placement, placed.at AS placed_at,
    coalesce(lease.incarnation, outcome.incarnation, parked.incarnation) AS incarnation,
    executor.name AS executor_name, lease.is_started, lease.is_cancelling, lease.is_suspending,
    parked.is_parent, parked.is_admitted, parked.since, parked.awaits_until,
    conclusion.phase, child.parent, child.nth, child.count AS siblings,
    coalesce(lease.claimed_at, outcome.claimed_at, parked.claimed_at) AS claimed_at, outcome.finished_at,
    outcome.result,
    CASE
      WHEN outcome.run IS NOT NULL THEN outcome.failure
      -- Only what was granted before can have failed.
      WHEN coalesce(lease.fence - 1, ready.fence, late.fence, scheduled.fence, parked.fence,
        blocked.fence, 0) > 0 THEN (
        SELECT failure FROM journal
        WHERE journal.run = run.id AND journal.failure IS NOT NULL
        ORDER BY journal.id DESC LIMIT 1
      )
    END AS failure
  FROM run
  JOIN kind ON kind.id = run.kind
  JOIN lane ON lane.id = run.lane
  LEFT JOIN level_set ON level_set.run = run.id
  LEFT JOIN outcome ON outcome.run = run.id
  LEFT JOIN lease ON lease.run = run.id
  LEFT JOIN ready ON ready.lane = run.lane AND ready.level = run.level
    AND ready.rank = ${rankOfRun} AND ready.run = run.id
  LEFT JOIN ready AS late ON late.run = run.id AND late.is_late = 1
  LEFT JOIN lane AS at ON at.id = late.lane
  LEFT JOIN placed ON placed.run = run.id
  LEFT JOIN scheduled ON scheduled.run = run.id
  LEFT JOIN blocked ON blocked.run = run.id
  LEFT JOIN parked ON parked.run = run.id
  LEFT JOIN conclusion ON conclusion.run = lease.run
  LEFT JOIN child ON child.run = run.id
  LEFT JOIN executor
    ON executor.incarnation = coalesce(lease.incarnation, outcome.incarnation, parked.incarnation)
  LEFT JOIN trigger ON trigger.id = run.trigger
  WHERE run.id = ?`

export const rowOf = (at: Connection, run: RunId): RunRow | undefined =>
  at.get<RunRow>(selectRun, run)

const selectBrief = selectRun
  .replace("run.payload,", "'null' AS payload,")
  .replace("outcome.result,", "NULL AS result,")

/** As `rowOf`, and neither payload nor result is read. */
export const briefOf = (at: Connection, run: RunId): RunRow | undefined =>
  at.get<RunRow>(selectBrief, run)

/** `row` in the words of the state machine. */
export const stateOf = (row: RunRow): Run.RunState => {
  const course = {
    attempt: row.attempt,
    crashes: row.crashes,
    fence: row.fence,
    isCareful: row.is_careful === 1,
  }
  switch (row.state) {
    case "Scheduled":
      return { _tag: row.state, ...course, isGated: row.gate !== null }
    case "Running":
      return {
        _tag: row.state,
        ...course,
        isStartMarked: row.is_started === 1,
        isCancelling: row.is_cancelling === 1,
        isSuspending: row.is_suspending === 1,
      }
    case "Awaiting":
      return { _tag: row.state, ...course, isParent: row.is_parent === 1 }
    case "Suspended":
      return { _tag: row.state, ...course, isAdmitted: row.is_admitted === 1 }
    default:
      return { _tag: row.state, ...course } as Run.RunState
  }
}

/** What the move of one run adds to what the state machine says. */
export interface Details {
  /** The fence of the report that makes the move. */
  readonly settled?: Fence
  /** When it is due again. */
  readonly dueAt?: number
  readonly result?: string | undefined
  readonly failure?: Failure | undefined
  /** Its turn at the gate. */
  readonly turn?: number
  /** Until when it awaits at most. */
  readonly awaitsUntil?: number
}

/** The state that `row` took by the event, if it took it. */
export const move = (
  tx: Transaction,
  row: RunRow,
  event: Run.RunEvent,
  details: Details = {},
): Run.RunState | undefined => {
  const next = Run.advance(stateOf(row), event)
  if (Result.isFailure(next)) return undefined
  const state = next.success
  if (state._tag === row.state) {
    if (state._tag === "Running") stay(tx, row, state)
  } else {
    quit(tx, row)
    enter(tx, row, state, details)
    tx.tally(row.kind, row.state, -1)
    tx.tally(row.kind, state._tag, 1)
  }
  return state
}

/** Whether the run takes its turn by another level or deadline, from now on or when it waits again. */
export const change = (
  tx: Transaction,
  row: RunRow,
  level: Lane.Level,
  to: number | undefined,
): boolean => {
  const { db, now } = tx
  if (Result.isFailure(Run.advance(stateOf(row), { _tag: "Change" }))) return false
  db.run(
    `INSERT INTO level_set (run, level) VALUES (?, ?)
     ON CONFLICT (run) DO UPDATE SET level = excluded.level, changes = changes + 1`,
    row.id,
    level,
  )
  const before = deadlineOf(db, row.id)
  const counts = row.attempt === 0
  if (to === undefined) db.run("DELETE FROM deadline WHERE run = ?", row.id)
  else if (to !== before) db.run("INSERT OR REPLACE INTO deadline VALUES (?, ?)", row.id, to)
  switch (row.state) {
    case "Scheduled":
      db.run("UPDATE scheduled SET is_careful = 1 WHERE run = ?", row.id)
      break
    case "Blocked":
      db.run(
        "UPDATE blocked SET level = ?, rank = ?, is_careful = 1 WHERE run = ?",
        level,
        rankAtGate(db, row.kind, {
          level,
          turn: row.turn!,
          places: row.gate_places!,
          deadlineAt: counts ? to : undefined,
        }),
        row.id,
      )
      break
    case "Suspended":
      db.run("UPDATE parked SET is_careful = 1 WHERE run = ?", row.id)
      break
    case "Running":
      db.run("UPDATE lease SET is_careful = 1 WHERE run = ?", row.id)
      break
    default: {
      const order = orderOf(db, row.kind, before ?? to)
      const place = { level: row.level, rank: row.rank! }
      const isNew = row.fence === 0 && row.gate === null
      const readyAt = isNew
        ? row.due_at
        : Lane.readyAt(place, now, counts ? before : undefined, order)
      db.run(
        `UPDATE ready SET level = ?, rank = ?, is_careful = 1, is_late = 1
         WHERE lane = ? AND level = ? AND rank = ? AND run = ?`,
        level,
        Lane.rank(readyAt, level, counts ? to : undefined, order),
        row.ready_lane,
        row.level,
        row.rank,
        row.id,
      )
      tx.hint(`lane ${row.ready_lane_name}`)
    }
  }
  return true
}

type Running = Extract<Run.RunState, { readonly _tag: "Running" }>

const stay = ({ db }: Transaction, row: RunRow, state: Running): void => {
  db.run(
    "UPDATE lease SET is_started = ?, is_cancelling = ?, is_suspending = ? WHERE run = ?",
    Number(state.isStartMarked),
    Number(state.isCancelling),
    Number(state.isSuspending),
    row.id,
  )
}

const quit = ({ db }: Transaction, row: RunRow): void => {
  switch (row.state) {
    case "Scheduled":
      db.run("DELETE FROM scheduled WHERE run = ?", row.id)
      break
    case "Blocked":
      db.run("DELETE FROM blocked WHERE run = ?", row.id)
      break
    case "Ready":
      db.run(
        "DELETE FROM ready WHERE lane = ? AND level = ? AND rank = ? AND run = ?",
        row.ready_lane,
        row.level,
        row.rank,
        row.id,
      )
      break
    case "Running":
      db.run("DELETE FROM lease WHERE run = ?", row.id)
      break
    case "Awaiting":
    case "Suspended":
      db.run("DELETE FROM parked WHERE run = ?", row.id)
      break
    default:
      // It was revived.
      db.run("DELETE FROM outcome WHERE run = ?", row.id)
  }
}

const insertOutcome = `
  INSERT INTO outcome (run, kind, state, attempt, crashes, fence, settled, is_careful, incarnation,
    claimed_at, due_at, finished_at, result, failure)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const enter = (
  tx: Transaction,
  row: RunRow,
  state: Run.RunState,
  details: Details,
): void => {
  const { db, now } = tx
  const { attempt, crashes, fence } = state
  const isCareful = Number(state.isCareful)
  const settled = details.settled ?? row.settled
  const dueAt = state._tag === "Scheduled" ? details.dueAt ?? row.due_at : row.due_at
  // Empty while it is the run's own, as it is on the happy path.
  const ownDueAt = dueAt === row.created_at + row.delay_millis ? null : dueAt
  switch (state._tag) {
    case "Scheduled":
      db.run(
        "INSERT INTO scheduled VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row.id,
        row.kind,
        dueAt,
        attempt,
        crashes,
        fence,
        settled,
        isCareful,
        row.gate,
      )
      if (isSoon(dueAt - now)) tx.hint(ofDue)
      break
    case "Blocked": {
      const turn = details.turn ?? row.id
      const deadlineAt = state.isCareful && attempt === 0 ? deadlineOf(db, row.id) : undefined
      db.run(
        insertBlocked,
        row.gate,
        row.level,
        turn,
        rankAtGate(db, row.kind, { level: row.level, turn, places: row.gate_places!, deadlineAt }),
        row.id,
        row.kind,
        attempt,
        crashes,
        fence,
        settled,
        isCareful,
      )
      break
    }
    case "Ready": {
      const deadlineAt = state.isCareful && attempt === 0 ? deadlineOf(db, row.id) : undefined
      const readyAt = isReadySinceDue(row) ? row.due_at : now
      db.run(
        "INSERT INTO ready VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        row.lane,
        row.level,
        Lane.rank(readyAt, row.level, deadlineAt, orderOf(db, row.kind, deadlineAt)),
        row.id,
        row.kind,
        attempt,
        crashes,
        fence,
        settled,
        isCareful,
        ownDueAt,
        row.gate,
      )
      tx.hint(`lane ${row.lane_name}`)
      break
    }
    case "Running":
      throw new Error("only a claim grants a run")
    case "Awaiting":
    case "Suspended":
      db.run(
        insertParked,
        row.id,
        row.kind,
        state._tag,
        Number(state._tag === "Awaiting" && state.isParent),
        Number(state._tag === "Suspended" && state.isAdmitted),
        attempt,
        crashes,
        fence,
        settled,
        isCareful,
        now,
        state._tag === "Awaiting" ? details.awaitsUntil ?? null : null,
        // Who put it down has nothing to do with it any more.
        state._tag === "Awaiting" ? row.incarnation : null,
        state._tag === "Awaiting" ? row.claimed_at : null,
        row.gate !== null && Run.holdsPlace(state, row.gate_places!) ? row.gate : null,
      )
      break
    default:
      db.run(
        insertOutcome,
        row.id,
        row.kind,
        Run.finals.indexOf(state._tag),
        attempt,
        crashes,
        fence,
        settled,
        isCareful,
        row.incarnation,
        row.claimed_at,
        ownDueAt,
        now,
        details.result ?? null,
        failureAt(row, state, details),
      )
      tell(tx, row.id, row.kind, Run.finals.indexOf(state._tag))
  }
}

/** Only a careful run has one. */
export const deadlineOf = (db: Connection, run: RunId): number | undefined =>
  db.get<{ at: number }>("SELECT at FROM deadline WHERE run = ?", run)?.at

/** It has begun: it is never too late to go on. */
export const forgetDeadline = ({ db }: Transaction, run: RunId): void =>
  void db.run("DELETE FROM deadline WHERE run = ?", run)

/** As the policy says that is kept of its task, where a deadline counts. */
const orderOf = (
  db: Connection,
  kind: number,
  deadlineAt: number | undefined,
): Lane.Order | undefined =>
  deadlineAt === undefined
    ? undefined
    : db.get<{ named: Lane.Order | null }>(`SELECT ${orderOfKind("?")} AS named`, kind)?.named ??
      undefined

/** In the order of the task. */
const rankAtGate = (db: Connection, kind: number, waiter: Blocking.Waiter): number =>
  Blocking.rank({ ...waiter, order: orderOf(db, kind, waiter.deadlineAt) })

/** The order that the kept policy names of a task, by its number. */
export const orderOfKind = (kind: string): string =>
  `(SELECT task.definition ->> '$.policy.order' FROM kind
    JOIN task ON task.namespace = kind.namespace AND task.name = kind.task
    WHERE kind.id = ${kind})`

/**
 * What was due is ready since then, however late that is seen; and what was put down before its first
 * grant is where it was.
 */
const isReadySinceDue = ({ fence, state }: RunRow): boolean =>
  state === "Scheduled" || (state === "Suspended" && fence === 0)

/** A run that is cancelled after a failed attempt still says how that one failed. */
const failureAt = (row: RunRow, state: Run.RunState, { failure }: Details): string | null => {
  if (state._tag === "Succeeded") return null
  return failure === undefined ? row.failure : JSON.stringify(failure)
}

const insertRun = `
  INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once, crashes_max,
    gate, gate_places, gate_when_full, trigger, slot, idempotency_key, payload)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
const insertReady = "INSERT INTO ready VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?, NULL, NULL)"
const insertBlocked = `
  INSERT INTO blocked
    (gate, level, turn, rank, run, kind, attempt, crashes, fence, settled, is_careful)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
const insertParked = "INSERT INTO parked VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
const insertScheduled = "INSERT INTO scheduled VALUES (?, ?, ?, 0, 0, 0, 0, ?, ?)"

const insertFailed = `INSERT INTO outcome
  (run, kind, state, attempt, crashes, fence, settled, is_careful, finished_at, failure)
  VALUES (?, ?, ${Run.finals.indexOf("Failed")}, 0, 0, 0, 0, ?, ?, ?)`

/** Keeps a new run and puts it where its first state says. */
export const add = (
  tx: Transaction,
  spec: RunSpec,
  fired?: {
    readonly trigger: number
    readonly slot: number | undefined
    /** Its trigger has not let it begin. */
    readonly failure?: Failure | undefined
  },
  kin: { readonly isParent?: boolean } = {},
): { readonly run: RunId; readonly state: Run.StateName } => {
  const { db, now } = tx
  const run = tx.nextRunId()
  const kind = db.kindOf(spec.namespace, spec.task)
  const lane = db.laneOf(spec.lane)
  const { deadlineMillis, gate, level } = spec
  const state = kin.isParent === true
    ? Run.submittedParent
    : fired?.failure !== undefined
    ? Run.submittedFailed
    : Run.submitted({
      isDueLater: spec.delayMillis > 0,
      isGated: gate !== undefined,
      isAtMostOnce: spec.isAtMostOnce,
      hasDeadline: deadlineMillis !== undefined,
    })
  const isCareful = Number(state.isCareful)
  db.run(
    insertRun,
    run,
    kind,
    lane,
    level,
    now,
    spec.delayMillis,
    Number(spec.isAtMostOnce),
    spec.crashesMax,
    gate?.key ?? null,
    gate?.places ?? null,
    gate?.whenFull ?? null,
    fired?.trigger ?? null,
    fired?.slot ?? null,
    spec.idempotencyKey ?? null,
    spec.payload,
  )
  tx.tally(kind, state._tag, 1)
  if (fired?.failure !== undefined) {
    db.run(insertFailed, run, kind, isCareful, now, JSON.stringify(fired.failure))
    return { run, state: state._tag }
  }
  const deadlineAt = deadlineMillis === undefined ? undefined : now + deadlineMillis
  if (deadlineAt !== undefined) db.run("INSERT INTO deadline VALUES (?, ?)", run, deadlineAt)
  if (state._tag === "Scheduled") {
    db.run(insertScheduled, run, kind, now + spec.delayMillis, isCareful, gate?.key ?? null)
    if (isSoon(spec.delayMillis)) tx.hint(ofDue)
  } else if (state._tag === "Blocked") {
    const { key, places } = gate!
    const rank = rankAtGate(db, kind, { level, turn: run, places, deadlineAt })
    db.run(insertBlocked, key, level, run, rank, run, kind, 0, 0, 0, 0, isCareful)
  } else if (state._tag === "Awaiting") {
    db.run(insertParked, run, kind, state._tag, 1, 0, 0, 0, 0, 0, 0, now, null, null, null, null)
  } else {
    const rank = Lane.rank(now, level, deadlineAt, orderOf(db, kind, deadlineAt))
    db.run(insertReady, lane, level, rank, run, kind, isCareful, Number(deadlineAt !== undefined))
    tx.hint(`lane ${spec.lane}`)
  }
  return { run, state: state._tag }
}

/** Late reports beyond are not noted, lest a mad holder fill the disk. */
const journalMax = 1000

/** A grant that is over, of a run that goes on. */
export const noteGrant = (
  { db }: Transaction,
  { attempt, claimed_at, fence, id, incarnation }: RunRow,
): void => {
  if (claimed_at === null) return
  db.run(
    `INSERT INTO journal (run, at, kind, attempt, fence, incarnation)
     SELECT ?1, ?2, 'Claimed', ?3, ?4, ?5
     WHERE NOT EXISTS (SELECT 1 FROM journal WHERE run = ?1 AND fence = ?4 AND kind = 'Claimed')`,
    id,
    claimed_at,
    attempt,
    fence,
    incarnation,
  )
}

/** How a run had ended that goes on. */
export const noteEnd = (tx: Transaction, row: RunRow): void => {
  const failure = row.failure === null ? undefined : JSON.parse(row.failure) as Failure
  note(tx, row, row.state, failure?.message, failure, { at: row.finished_at! })
}

export const note = (
  { db, now }: Transaction,
  row: { readonly id: RunId; readonly attempt: number; readonly fence: Fence },
  kind: string,
  detail?: string,
  failure?: Failure,
  { at = now, by }: { readonly at?: number; readonly by?: string | undefined } = {},
): void => {
  db.run(
    `INSERT INTO journal (run, at, kind, attempt, fence, detail, failure, asked_by)
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
     WHERE ?3 <> 'LateReport'
       OR (SELECT count(*) FROM journal WHERE run = ?1) < ${journalMax}`,
    row.id,
    at,
    kind,
    row.attempt,
    row.fence,
    detail ?? null,
    failure === undefined ? null : JSON.stringify(failure),
    by ?? null,
  )
}

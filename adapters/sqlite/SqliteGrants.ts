/** Grants and reports in SQLite: the hot path of `RunStorage`, in bulk where that is worth it. */
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as GivenBack from "../../core/domain/GivenBack.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { tooLate } from "../../core/domain/RunView.ts"
import type {
  Claimed,
  ClaimRequest,
  Grant,
  Kept,
  Report,
  Settled,
} from "../../core/services/RunStorage.ts"
import type { Database, Transaction } from "./Database.ts"
import { conclusionOf, type ConclusionRow, type KnownConclusion } from "./SqliteConclusions.ts"
import { forgetDeadline, move, note, noteGrant, rowOf, type RunRow } from "./RunRows.ts"
import { standingOf } from "./SqliteExecutors.ts"
import { tell } from "./SqliteOutbox.ts"

export const claim = (tx: Transaction, request: ClaimRequest): Claimed | "Lost" => {
  const { incarnation, isAgain, lanes, limit, loop, reports, round, tellsAge } = request
  const standing = standingOf(tx, incarnation)
  if (standing !== "live" && standing !== "draining") return "Lost"
  const { freed, settled } = settleAll(tx, incarnation, reports)
  if (isAgain) {
    const again = tx.db.tuples<GrantRow>(grantsOfRound, incarnation, loop, round)
    if (again.length > 0) return { settled, ...aged(tx, tellsAge, grantsOf(tx, again, freed)) }
  }
  const granted = standing === "live" && limit > 0 ? grant(tx, request, lanes, limit) : []
  return { settled, ...aged(tx, tellsAge, grantsOf(tx, granted, freed)) }
}

/** With how long ago their runs first became due, if that was asked for. */
const aged = (
  { db, now }: Transaction,
  isAsked: true | undefined,
  claimed: Omit<Claimed, "settled">,
): Omit<Claimed, "settled"> =>
  isAsked === undefined ? claimed : {
    ...claimed,
    grants: claimed.grants.map((grant) => {
      const { due } = db.get<{ readonly due: number }>(selectDue, grant.run)!
      return { ...grant, dueMillisAgo: Math.max(0, now - due) }
    }),
  }

const selectDue = "SELECT created_at + delay_millis AS due FROM run WHERE id = ?"

const grantsOf = (
  tx: Transaction,
  rows: ReadonlyArray<GrantRow>,
  freed: ReadonlyArray<GateKey>,
): Omit<Claimed, "settled"> => {
  if (!rows.some(mayHaveMore)) return { grants: rows.map(grantOf), freed }
  const gates = new Set(freed)
  const grants = rows.flatMap((row) =>
    mayHaveMore(row) ? wholeGrant(tx, row, gates) : [grantOf(row)]
  )
  return { grants, freed: [...gates] }
}

/** Only what was granted before has a checkpoint, only a careful one has a deadline. */
const mayHaveMore = ([, fence, , , , , , isCareful, , idempotencyKey]: GrantRow): boolean =>
  fence > 1 || isCareful === 1 || (idempotencyKey !== null && FanIn.mayBeKey(idempotencyKey))

const selectMore = `
  SELECT (SELECT at FROM deadline WHERE run = ?1) AS deadline,
    (SELECT value FROM checkpoint WHERE run = ?1) AS checkpoint,
    child.parent, child.nth, child.count, conclusion.state, conclusion.phase, conclusion.result,
    conclusion.failure
  FROM (SELECT 1) LEFT JOIN child ON child.run = ?1
    LEFT JOIN conclusion ON conclusion.run = ?1 AND conclusion.phase <> 'handedOver'`

interface More extends ConclusionRow {
  readonly deadline: number | null
  readonly checkpoint: string | null
  readonly parent: RunId | null
  readonly nth: number
  readonly count: number
}

/** None when it is too late to begin: then it ends here. */
const wholeGrant = (
  tx: Transaction,
  row: GrantRow,
  freed: Set<GateKey>,
): ReadonlyArray<Grant> => {
  const more = tx.db.get<More>(selectMore, row[0])!
  if (more.deadline !== null && more.deadline <= tx.now) {
    const held = rowOf(tx.db, row[0])!
    const state = move(tx, held, { _tag: "Expire" }, { failure: tooLate })
    if (state !== undefined) {
      tx.db.run("DELETE FROM deadline WHERE run = ?", held.id)
      freePlace(held, state, freed)
      return []
    }
  }
  const { checkpoint, count, nth, parent } = more
  return [{
    ...grantOf(row),
    ...(checkpoint !== null && { checkpoint }),
    ...(parent !== null && { shard: { parent, index: nth, count } }),
    ...(more.state !== null && { conclusion: conclusionOf(more as KnownConclusion) }),
  }]
}

type GrantRow = readonly [
  run: RunId,
  fence: Fence,
  kind: number,
  namespace: string,
  task: string,
  attempt: number,
  crashes: number,
  isCareful: number,
  payload: string,
  idempotencyKey: string | null,
  slot: number | null,
]

const grantsOfRound = `
  SELECT lease.run, lease.fence, lease.kind, kind.namespace, kind.task, lease.attempt,
    lease.crashes, lease.is_careful, run.payload, run.idempotency_key, run.slot
  FROM lease JOIN run ON run.id = lease.run JOIN kind ON kind.id = lease.kind
  WHERE lease.incarnation = ? AND lease.loop = ? AND lease.round = ?
  ORDER BY lease.run`

const placesOf =
  "SELECT rank, run FROM ready WHERE lane = ? AND level = ? ORDER BY rank, run LIMIT ?"

const placeAt = `
  SELECT rank, run FROM ready WHERE lane = ? AND level = ? ORDER BY rank, run LIMIT 1 OFFSET ?`

/** The cell Claim of Ready: attempt and fence rise by one. Of a level of a lane, up to a place. */
const grantsUpTo = `
  SELECT ready.run, ready.fence + 1, ready.kind, kind.namespace, kind.task, ready.attempt + 1,
    ready.crashes, ready.is_careful, run.payload, run.idempotency_key, run.slot
  FROM ready CROSS JOIN run ON run.id = ready.run CROSS JOIN kind ON kind.id = ready.kind
  WHERE ready.lane = ? AND ready.level = ? AND (ready.rank, ready.run) <= (?, ?)
  ORDER BY ready.rank, ready.run`

const leaseUpTo = `
  INSERT INTO lease (run, incarnation, loop, round, kind, attempt, crashes, fence, settled,
    is_careful, is_started, is_cancelling, claimed_at, due_at, gate)
  SELECT run, ?, ?, ?, kind, attempt + 1, crashes, fence + 1, settled, is_careful, 0, 0, ?, due_at,
    gate
  FROM ready WHERE lane = ? AND level = ? AND (rank, run) <= (?, ?)`

const deleteUpTo = "DELETE FROM ready WHERE lane = ? AND level = ? AND (rank, run) <= (?, ?)"

/** A level of a lane in which runs wait. */
interface Queue {
  readonly lane: number
  readonly level: Lane.Level
}

/** A front of a queue: all up to a place. */
interface Front extends Queue {
  readonly rank: number
  readonly run: number
}

const grant = (
  tx: Transaction,
  { incarnation, loop, round }: ClaimRequest,
  lanes: ReadonlyArray<Lane.Lane>,
  limit: number,
): ReadonlyArray<GrantRow> => {
  const { db, now } = tx
  const queues = queuesOf(db, lanes)
  const { fronts, order } = queues.length === 1
    ? { fronts: [frontOf(db, queues[0]!, limit)], order: undefined }
    : merged(db, queues, limit, now)
  const granted: Array<GrantRow> = []
  for (const { lane, level, rank, run } of fronts) {
    const rows = db.tuples<GrantRow>(grantsUpTo, lane, level, rank, run)
    db.run(leaseUpTo, incarnation, loop, round, now, lane, level, rank, run)
    db.run(deleteUpTo, lane, level, rank, run)
    for (const row of rows) {
      tx.tally(row[2], "Ready", -1)
      tx.tally(row[2], "Running", 1)
      granted.push(row)
    }
  }
  if (order !== undefined) granted.sort(([a], [b]) => order.get(a)! - order.get(b)!)
  return granted
}

const queuesOf = (db: Database, lanes: ReadonlyArray<Lane.Lane>): ReadonlyArray<Queue> => {
  const queues: Array<Queue> = []
  for (const name of new Set(lanes)) {
    const lane = db.laneOf(name)
    for (const level of Lane.levels) {
      if (db.get(placeAt, lane, level, 0) !== undefined) queues.push({ lane, level })
    }
  }
  return queues
}

const frontOf = (db: Database, { lane, level }: Queue, limit: number): Front => {
  const last = db.get<{ rank: number; run: number }>(placeAt, lane, level, limit - 1) ??
    { rank: Number.MAX_SAFE_INTEGER, run: Number.MAX_SAFE_INTEGER }
  return { lane, level, ...last }
}

/**
 * Of each queue the first go into the merge; the winners of each are a front of it. A queue all of
 * whose first have won may have more to win, and is read further; most need not be, and with many
 * queues reading each as far as one could go would cost more than all the rest.
 */
const merged = (
  db: Database,
  queues: ReadonlyArray<Queue>,
  limit: number,
  now: number,
): { readonly fronts: ReadonlyArray<Front>; readonly order: ReadonlyMap<number, number> } => {
  const order = Lane.order(now)
  const readTo = (queue: Queue, count: number) =>
    db.tuples<[rank: number, run: number]>(placesOf, queue.lane, queue.level, count)
      .map(([rank, run]) => ({ queue, rank, run, level: queue.level }))
  const counts = new Map<Queue, number>()
  const heads = new Map<Queue, ReturnType<typeof readTo>>()
  let further = queues
  for (;;) {
    for (const queue of further) {
      const count = (counts.get(queue) ?? Math.ceil(limit / queues.length)) * 2
      counts.set(queue, Math.min(limit, count))
      heads.set(queue, readTo(queue, counts.get(queue)!))
    }
    const winners = [...heads.values()].flat().sort(order).slice(0, limit)
    const won = Map.groupBy(winners, ({ queue }) => queue)
    further = queues.filter((queue) =>
      won.get(queue)?.length === counts.get(queue) && counts.get(queue)! < limit
    )
    if (further.length > 0) continue
    return {
      fronts: [...won.values()].map((all) => {
        const { queue, rank, run } = all.at(-1)!
        return { ...queue, rank, run }
      }),
      order: new Map(winners.map(({ run }, at) => [run, at])),
    }
  }
}

const grantOf = (
  [
    run,
    fence,
    _kind,
    namespace,
    task,
    attempt,
    crashes,
    isCareful,
    payload,
    idempotencyKey,
    slot,
  ]: GrantRow,
): Grant => ({
  run,
  fence,
  namespace: namespace as Grant["namespace"],
  task: task as Grant["task"],
  attempt,
  crashes,
  isCareful: isCareful === 1,
  payload,
  ...(idempotencyKey !== null && { idempotencyKey }),
  ...(slot !== null && { slot }),
})

type Success = Extract<Report, { readonly _tag: "Succeed" }>

export const settleAll = (
  tx: Transaction,
  incarnation: Incarnation,
  reports: ReadonlyArray<Report>,
): Omit<Claimed, "grants"> => {
  const freed = new Set<GateKey>()
  const succeeded = succeedAll(tx, incarnation, successesOf(reports), freed)
  const settled = reports.map((report) =>
    succeeded.has(report) ? "applied" : settle(tx, incarnation, report, freed)
  )
  return { settled, freed: [...freed] }
}

/** Reports of success that are the only ones of their run, so that their order does not matter. */
const successesOf = (reports: ReadonlyArray<Report>): ReadonlyMap<RunId, Success> => {
  const successes = new Map<RunId, Success>()
  const several = new Set<RunId>()
  const seen = new Set<RunId>()
  for (const report of reports) {
    if (seen.has(report.run)) several.add(report.run)
    seen.add(report.run)
    if (report._tag === "Succeed") successes.set(report.run, report)
  }
  for (const run of several) successes.delete(run)
  return successes
}

const leasesOf = `
  SELECT run, fence, kind, gate FROM lease
  WHERE run IN (SELECT value FROM json_each(?)) AND incarnation = ?`

/** The cell Succeed of Running, also when it was asked to stop: the run has Succeeded. */
const outcomesOf = (runs: string, run: string, result: string) => `
  INSERT INTO outcome (run, kind, state, attempt, crashes, fence, settled, is_careful, incarnation,
    claimed_at, due_at, finished_at, result, failure)
  SELECT lease.run, kind, 0, attempt, crashes, fence, fence, is_careful, incarnation, claimed_at,
    due_at, ?, ${result}, NULL
  FROM ${runs} CROSS JOIN lease ON lease.run = ${run}`

const outcomesWithout = outcomesOf("json_each(?) AS ended", "ended.value", "NULL")
const outcomesWith = outcomesOf(
  "json_each(?) AS ended",
  "ended.value ->> 0",
  "ended.value ->> 1",
)

const keep = ({ db }: Transaction, kind: number, { key, state }: Kept) => {
  if (state === undefined) {
    db.run(
      `DELETE FROM state WHERE key = ?
       AND (namespace, task) = (SELECT namespace, task FROM kind WHERE id = ?)`,
      key,
      kind,
    )
    return
  }
  db.run(
    `INSERT INTO state SELECT namespace, task, ?, ? FROM kind WHERE id = ?
     ON CONFLICT (namespace, task, key) DO UPDATE SET value = excluded.value`,
    key,
    state,
    kind,
  )
}

/** Those of these reports that their runs took. Many at once cost a third of one by one. */
const succeedAll = (
  tx: Transaction,
  incarnation: Incarnation,
  successes: ReadonlyMap<RunId, Success>,
  freed: Set<GateKey>,
): ReadonlySet<Report> => {
  const { db, now } = tx
  const applied = new Set<Report>()
  if (successes.size === 0) return applied
  const ended: Array<RunId> = []
  let hasResults = false
  const leases = db.tuples<[run: RunId, fence: Fence, kind: number, gate: GateKey | null]>(
    leasesOf,
    JSON.stringify([...successes.keys()]),
    incarnation,
  )
  for (const [run, fence, kind, gate] of leases) {
    const report = successes.get(run)!
    if (report.fence !== fence) continue
    applied.add(report)
    ended.push(run)
    hasResults ||= report.result !== undefined
    tx.tally(kind, "Running", -1)
    tx.tally(kind, "Succeeded", 1)
    if (gate !== null) freed.add(gate)
    if (report.kept !== undefined) keep(tx, kind, report.kept)
  }
  const runs = JSON.stringify(ended)
  if (hasResults) {
    const results = ended.map((run) => [run, successes.get(run)!.result ?? null])
    db.run(outcomesWith, now, JSON.stringify(results))
  } else db.run(outcomesWithout, now, runs)
  db.run("DELETE FROM lease WHERE run IN (SELECT value FROM json_each(?))", runs)
  for (const [run, fence, kind] of leases) {
    if (successes.get(run)!.fence === fence) tell(tx, run, kind, 0)
  }
  return applied
}

const settle = (
  tx: Transaction,
  incarnation: Incarnation,
  report: Report,
  freed: Set<GateKey>,
): Settled => {
  const row = rowOf(tx.db, report.run)
  if (row?.state !== "Running" || row.incarnation !== incarnation) return unapplied(tx, report)
  const { run: _, ...event } = report
  if (report._tag === "Release" && report.fence === row.fence) {
    // Its turn goes by none any more.
    const hasBegun = row.is_started === 1 || report.checkpoint !== undefined
    if (hasBegun) forgetDeadline(tx, row.id)
  }
  const state = move(tx, row, event, {
    settled: report.fence,
    ...(report._tag === "Succeed" && { result: report.result }),
    ...("failure" in report && { failure: report.failure }),
    ...("delayMillis" in report && { dueAt: tx.now + report.delayMillis }),
    ...(report._tag === "Await" && report.timeoutMillis !== undefined &&
      { awaitsUntil: tx.now + report.timeoutMillis }),
  })
  if (state === undefined) return unapplied(tx, report)
  // A run that was asked to stop is cancelled instead, whatever its holder made of it.
  if (state._tag !== "Cancelled") {
    if (report._tag === "Postpone") forgetPostponed(tx, row.id)
    if (goesOn.has(report._tag)) noteGrant(tx, row)
    noteReport(tx, row.id, state, report)
  }
  freePlace(row, state, freed)
  return "applied"
}

/** After these reports a run goes on without the grant. */
const goesOn: ReadonlySet<Report["_tag"]> = new Set([
  "Retry",
  "Release",
  "Postpone",
  "Yield",
])

/** What else there is to a report that was applied. */
const noteReport = (
  tx: Transaction,
  id: RunId,
  { attempt, fence }: Run.RunState,
  report: Report,
): void => {
  const after = { id, attempt, fence }
  switch (report._tag) {
    case "Retry":
      return note(tx, after, "Retried", report.failure.message, report.failure)
    case "Release":
      note(tx, after, "Released", GivenBack.wordsOf(report.why))
      if (report.checkpoint !== undefined) putDown(tx, id, report.checkpoint)
      return
    case "Postpone":
      return note(tx, after, "Postponed")
    case "Await":
      note(tx, after, "Awaited")
      return forgetDeadline(tx, id)
    case "Yield":
      note(tx, after, "Yielded")
      return putDown(tx, id, report.checkpoint)
  }
}

/** The next grant that is postponed takes the place of the one before it (R30). */
const forgetPostponed = ({ db }: Transaction, run: RunId): void =>
  void db.run(
    `DELETE FROM journal WHERE run = ?1 AND kind IN ('Claimed', 'Started', 'Postponed')
       AND fence = (SELECT fence FROM journal WHERE run = ?1 AND kind = 'Postponed')`,
    run,
  )

const putDown = (tx: Transaction, run: RunId, checkpoint: string | undefined): void => {
  forgetDeadline(tx, run)
  if (checkpoint === undefined) return
  tx.db.run(
    `INSERT INTO checkpoint VALUES (?, ?)
     ON CONFLICT (run) DO UPDATE SET value = excluded.value`,
    run,
    checkpoint,
  )
}

/** What becomes of a report that its run does not take. It is kept as evidence. */
const unapplied = (tx: Transaction, report: Report): Settled => {
  const row = rowOf(tx.db, report.run)
  if (row === undefined) return "fenced"
  if (row.settled > 0 && row.settled === report.fence) return "duplicate"
  note(tx, row, "LateReport", `${report._tag} with fence ${report.fence}`)
  return "fenced"
}

export const freePlace = (row: RunRow, state: Run.RunState, freed: Set<GateKey>): void => {
  if (row.gate !== null && !Run.holdsPlace(state, row.gate_places!)) freed.add(row.gate as GateKey)
}

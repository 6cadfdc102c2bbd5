/** Runs in SQLite: see `RunStorage` for the laws, and `Database` for what makes a step atomic. */
import { Effect, Option } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type {
  Admission,
  Claimed,
  ClaimRequest,
  Grant,
  Known,
  Recovered,
  Report,
  RunSpec,
  RunStorage,
  Settled,
  Submitted,
} from "../../core/services/RunStorage.ts"
import type { Database, Transaction } from "./Database.ts"
import { add, move, note, rowOf, type RunRow } from "./RunRows.ts"
import { standingOf } from "./SqliteExecutors.ts"
import * as SqliteRunViews from "./SqliteRunViews.ts"

/** So many runs are written by one step, so that a big submit does not hold up everybody else. */
const submitBatch = 500
/** Runs that move one by one, each as `Run.advance` says, do so in steps of so many. */
const moveBatch = 250
/** `openGates` looks at so many gates, and at the next ones when it is called again. */
const gatesBatch = 1000

export const make = (db: Database): RunStorage => {
  let nextGate = ""
  return {
    submit: (specs) =>
      Effect.map(
        Effect.forEach(
          batches(specs, submitBatch),
          (some) => db.write("submit", (tx) => some.map((spec) => submit(tx, spec))),
          { concurrency: "unbounded" },
        ),
        (answers) => answers.flat(),
      ),
    admit: (gates) =>
      Effect.map(
        Effect.forEach(new Set(gates), (gate) =>
          inSteps(
            Number.MAX_SAFE_INTEGER,
            (most) => db.write("admit", (tx) => admit(tx, gate, most)),
            (admissions) => admissions.length,
          ), { concurrency: "unbounded" }),
        (steps) => steps.flat(2),
      ),
    openGates: (limit) =>
      db.read("openGates", () => {
        const { next, open } = openGates(db, nextGate, limit)
        nextGate = next
        return open
      }),
    claim: (request) => db.write("claim", (tx) => claim(tx, request)),
    settle: (incarnation, reports) =>
      db.write("settle", (tx) => settleAll(tx, incarnation, reports)),
    start: (incarnation, marks) =>
      db.write("start", (tx) => marks.map(({ fence, run }) => start(tx, incarnation, run, fence))),
    reconcile: (incarnation, known) =>
      db.write("reconcile", (tx) => reconcile(tx, incarnation, known)),
    promote: (limit) =>
      Effect.map(
        inSteps(
          limit,
          (most) => db.write("promote", (tx) => promote(tx, most)),
          ({ promoted }) => promoted,
        ),
        (steps) => ({
          promoted: steps.reduce((sum, { promoted }) => sum + promoted, 0),
          gates: distinct(steps.flatMap(({ gates }) => gates)),
          nextInMillis: steps.at(-1)!.nextInMillis,
        }),
      ),
    cancel: (run) => db.write("cancel", (tx) => cancel(tx, run)),
    recover: (limit) =>
      Effect.map(
        inSteps(
          limit,
          (most) => db.write("recover", (tx) => recover(tx, most)),
          ({ runs }) => runs.length,
        ),
        (steps) => ({
          lost: steps.flatMap(({ lost }) => lost),
          runs: steps.flatMap(({ runs }) => runs),
          freed: distinct(steps.flatMap(({ freed }) => freed)),
        }),
      ),
    ...SqliteRunViews.make(db),
  }
}

const batches = <A>(all: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  all.length <= size
    ? [all]
    : Array.from({ length: Math.ceil(all.length / size) }, (_, at) =>
      all.slice(at * size, (at + 1) * size))

const distinct = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> => [...new Set(values)]

/**
 * The answers of as many steps as it takes until one had not enough to do, or `limit` is reached:
 * each is a transaction of its own, so that others come to their turn in between.
 */
const inSteps = <A, E>(
  limit: number,
  step: (most: number) => Effect.Effect<A, E>,
  done: (answer: A) => number,
): Effect.Effect<ReadonlyArray<A>, E> =>
  Effect.gen(function* () {
    const answers: Array<A> = []
    for (let left = limit;;) {
      const most = Math.min(left, moveBatch)
      const answer = yield* step(most)
      answers.push(answer)
      left -= done(answer)
      if (left <= 0 || done(answer) < most) return answers
    }
  })

const submit = (tx: Transaction, spec: RunSpec): Submitted => {
  if (spec.idempotencyKey === undefined) return { _tag: "Submitted", ...add(tx, spec), isNew: true }
  const known = tx.db.get<{ run: RunId }>(
    "SELECT run FROM idempotency WHERE namespace = ? AND key = ?",
    spec.namespace,
    spec.idempotencyKey,
  )
  const row = known && rowOf(tx.db, known.run)
  if (row !== undefined) {
    return row.task === spec.task && row.payload === spec.payload
      ? { _tag: "Submitted", run: row.id, state: row.state, isNew: false }
      : { _tag: "Conflict", run: row.id }
  }
  const { run, state } = add(tx, spec)
  tx.db.run(
    `INSERT INTO idempotency VALUES (?, ?, ?)
     ON CONFLICT (namespace, key) DO UPDATE SET run = excluded.run`,
    spec.namespace,
    spec.idempotencyKey,
    run,
  )
  return { _tag: "Submitted", run, state, isNew: true }
}

/** Holders are derived from rows: ready, running, or scheduled between attempts. */
export const holdersOf = (db: Database, gate: string, limit: number): ReadonlyArray<RunId> =>
  db.all<{ run: RunId }>(
    `SELECT run FROM lease WHERE gate = ?1
     UNION ALL SELECT run FROM ready WHERE gate = ?1
     UNION ALL SELECT run FROM scheduled WHERE gate = ?1 AND gate IS NOT NULL AND fence > 0
     LIMIT ?2`,
    gate,
    limit,
  ).map(({ run }) => run)

const firstWaiting = "SELECT run FROM blocked WHERE gate = ? ORDER BY level, turn LIMIT 1"

/** `row` waits at a gate, so it has all of it. */
export const gateOf = ({ gate, gate_places, gate_when_full }: RunRow): Blocking.Gate => ({
  key: gate as GateKey,
  places: gate_places!,
  whenFull: gate_when_full!,
})

const admit = (tx: Transaction, gate: GateKey, most: number): ReadonlyArray<Admission> => {
  const { db } = tx
  const admissions: Array<Admission> = []
  let holders: Array<RunId> | undefined
  while (admissions.length < most) {
    const waiting = db.get<{ run: RunId }>(firstWaiting, gate)
    if (waiting === undefined) break
    const row = rowOf(db, waiting.run)!
    holders ??= [...holdersOf(db, gate, -1)]
    const decision = Blocking.decide(gateOf(row), holders.length)
    if (decision === "wait") break
    if (decision === "admit") {
      move(tx, row, { _tag: "Admit" })
      holders.push(row.id)
    } else {
      const message = `busy with run ${holders[0]}`
      move(tx, row, { _tag: "Discard" }, { failure: { tag: "Discarded", message } })
    }
    admissions.push({ run: row.id, state: decision === "admit" ? "Ready" : "Discarded" })
  }
  return admissions
}

const openGates = (
  db: Database,
  from: string,
  limit: number,
): { readonly next: string; readonly open: ReadonlyArray<GateKey> } => {
  const open: Array<GateKey> = []
  let last = from
  for (let seen = 0; seen < gatesBatch && open.length < limit; seen++) {
    const waiting = db.get<{ gate: GateKey; run: RunId }>(
      "SELECT gate, run FROM blocked WHERE gate > ? ORDER BY gate, level, turn LIMIT 1",
      last,
    )
    if (waiting === undefined) {
      // Past the last gate: from the first again, unless all were seen.
      if (last === "" || from === "") return { next: "", open }
      last = ""
      from = ""
      continue
    }
    last = waiting.gate
    const gate = gateOf(rowOf(db, waiting.run)!)
    const held = holdersOf(db, gate.key, gate.places).length
    if (Blocking.decide(gate, held) !== "wait" && !open.includes(gate.key)) open.push(gate.key)
  }
  return { next: last, open }
}

const claim = (tx: Transaction, request: ClaimRequest): Claimed | "Lost" => {
  const { incarnation, isAgain, lanes, limit, loop, reports, round } = request
  const standing = standingOf(tx, incarnation)
  if (standing !== "live" && standing !== "draining") return "Lost"
  const { freed, settled } = settleAll(tx, incarnation, reports)
  if (isAgain) {
    const again = tx.db.tuples<GrantRow>(grantsOfRound, incarnation, loop, round)
    if (again.length > 0) return { settled, grants: again.map(grantOf), freed }
  }
  const grants = standing === "live" && limit > 0 ? grant(tx, request, lanes, limit) : []
  return { settled, grants, freed }
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
): ReadonlyArray<Grant> => {
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
  return granted.map(grantOf)
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

/** Of each queue the first are taken to the merge; the winners of each are a front of it. */
const merged = (
  db: Database,
  queues: ReadonlyArray<Queue>,
  limit: number,
  now: number,
): { readonly fronts: ReadonlyArray<Front>; readonly order: ReadonlyMap<number, number> } => {
  const order = Lane.order(now)
  const winners = queues.flatMap((queue) =>
    db.tuples<[rank: number, run: number]>(placesOf, queue.lane, queue.level, limit)
      .map(([rank, run]) => ({ queue, rank, run, level: queue.level }))
  ).sort(order).slice(0, limit)
  const fronts = new Map<Queue, Front>()
  for (const { queue, rank, run } of winners) fronts.set(queue, { ...queue, rank, run })
  return {
    fronts: [...fronts.values()],
    order: new Map(winners.map(({ run }, at) => [run, at])),
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

const settleAll = (
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
  }
  const runs = JSON.stringify(ended)
  if (hasResults) {
    const results = ended.map((run) => [run, successes.get(run)!.result ?? null])
    db.run(outcomesWith, now, JSON.stringify(results))
  } else db.run(outcomesWithout, now, runs)
  db.run("DELETE FROM lease WHERE run IN (SELECT value FROM json_each(?))", runs)
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
  const state = move(tx, row, event, {
    settled: report.fence,
    ...("failure" in report && { failure: report.failure }),
    ...("delayMillis" in report && { dueAt: tx.now + report.delayMillis }),
  })
  if (state === undefined) return unapplied(tx, report)
  const after = { id: row.id, attempt: state.attempt, fence: state.fence }
  if (report._tag === "Retry") {
    note(tx, after, "Retried", report.failure.message, report.failure)
  } else if (report._tag === "Release") note(tx, after, "Released")
  freePlace(row, state, freed)
  return "applied"
}

/** What becomes of a report that its run does not take. It is kept as evidence. */
const unapplied = (tx: Transaction, report: Report): Settled => {
  const row = rowOf(tx.db, report.run)
  if (row === undefined) return "fenced"
  if (row.settled > 0 && row.settled === report.fence) return "duplicate"
  note(tx, row, "LateReport", `${report._tag} with fence ${report.fence}`)
  return "fenced"
}

const freePlace = (row: RunRow, state: Run.RunState, freed: Set<GateKey>): void => {
  if (row.gate !== null && Run.isFinal(state._tag)) freed.add(row.gate as GateKey)
}

/** Running's cell Start; a run that was asked to stop does not start. */
const start = (tx: Transaction, incarnation: Incarnation, run: RunId, fence: Fence): boolean =>
  tx.db.run(
    `UPDATE lease SET is_started = 1
     WHERE run = ? AND incarnation = ? AND fence = ? AND is_cancelling = 0`,
    run,
    incarnation,
    fence,
  ).changes === 1

const reconcile = (tx: Transaction, incarnation: Incarnation, { grants, rounds }: Known) => {
  const held = tx.db.all<{ run: RunId; fence: Fence; loop: number; round: number }>(
    "SELECT run, fence, loop, round FROM lease WHERE incarnation = ?",
    incarnation,
  )
  const named = new Map(grants.map(({ fence, run }) => [run, fence]))
  const answered = new Map(rounds.map(({ loop, round }) => [loop, round]))
  for (const { fence, loop, round, run } of held) {
    const isAnswered = round <= (answered.get(loop) ?? -1)
    if (!isAnswered || named.get(run) === fence) continue
    const row = rowOf(tx.db, run)!
    note(tx, row, "Released", "its holder does not know of it")
    move(tx, row, { _tag: "Release", fence })
  }
  const fences = new Map(held.map(({ fence, run }) => [run, fence]))
  return {
    passed: grants.filter(({ fence, run }) => fences.get(run) !== fence).map(({ run }) => run),
  }
}

const promote = (tx: Transaction, limit: number) => {
  const due = tx.db.all<{ run: RunId }>(
    "SELECT run FROM scheduled WHERE due_at <= ? ORDER BY due_at, run LIMIT ?",
    tx.now,
    limit,
  )
  const gates = new Set<GateKey>()
  for (const { run } of due) {
    const row = rowOf(tx.db, run)!
    // Its turn at the gate begins now, not when it was submitted.
    const turn = row.gate === null ? {} : { turn: tx.nextRunId() }
    const state = move(tx, row, { _tag: "Due" }, turn)
    if (state?._tag === "Blocked") gates.add(row.gate as GateKey)
  }
  const next = tx.db.get<{ due_at: number }>(
    "SELECT due_at FROM scheduled ORDER BY due_at LIMIT 1",
  )
  return {
    promoted: due.length,
    gates: [...gates],
    nextInMillis: next === undefined ? undefined : Math.max(0, next.due_at - tx.now),
  }
}

const cancel = (tx: Transaction, run: RunId) => {
  const row = rowOf(tx.db, run)
  if (row === undefined) return Option.none()
  const state = move(tx, row, { _tag: "Cancel" })
  if (state === undefined) return Option.some({ answer: "ended" as const, freed: [] })
  if (state._tag === "Running") {
    note(tx, row, "CancelAsked")
    tx.hint(`executor ${row.incarnation!}`)
    return Option.some({ answer: "requested" as const, freed: [] })
  }
  const freed = new Set<GateKey>()
  freePlace(row, state, freed)
  return Option.some({ answer: "confirmed" as const, freed: [...freed] })
}

const recover = (tx: Transaction, limit: number): Recovered => {
  const { db, now } = tx
  const lost = db.all<{ incarnation: Incarnation }>(
    `UPDATE executor SET standing = 'lost'
     WHERE standing IN ('live', 'draining') AND ends_at <= ? AND may_hold = 1
     RETURNING incarnation`,
    now,
  ).map(({ incarnation }) => incarnation)
  const gone = db.all<{ incarnation: Incarnation; name: string; standing: string }>(
    `SELECT incarnation, name, standing FROM executor
     WHERE standing IN ('lost', 'left') AND may_hold = 1`,
  )
  const runs: Array<Recovered["runs"][number]> = []
  const freed = new Set<GateKey>()
  for (const { incarnation, name, standing } of gone) {
    const held = db.all<{ run: RunId }>(
      "SELECT run FROM lease WHERE incarnation = ? ORDER BY run LIMIT ?",
      incarnation,
      limit - runs.length,
    )
    for (const { run } of held) {
      const row = rowOf(db, run)!
      note(tx, row, "Lost", `${name} is ${standing}`)
      const state = lose(tx, row, name)
      freePlace(row, state, freed)
      runs.push({ run, state: state._tag })
    }
    if (runs.length >= limit) break
    // All it held is freed, and it gets nothing more (E4).
    db.run("UPDATE executor SET may_hold = 0 WHERE incarnation = ?", incarnation)
  }
  return { lost, runs, freed: [...freed] }
}

const lose = (tx: Transaction, row: RunRow, name: string): Run.RunState => {
  const event = {
    _tag: "Lose",
    crashesMax: row.crashes_max,
    isAtMostOnce: row.is_at_most_once === 1,
  } as const
  return move(tx, row, event, {
    ...(row.is_cancelling === 0 && {
      failure: { tag: "ExecutorLost", message: `${name} was lost` },
    }),
  })!
}

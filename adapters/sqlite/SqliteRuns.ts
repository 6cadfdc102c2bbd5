/** Runs in SQLite: see `RunStorage` for the laws, and `Database` for what makes a step atomic. */
import { Effect, Option } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type {
  Admission,
  Known,
  Recovered,
  RunSpec,
  RunStorage,
  Submitted,
} from "../../core/services/RunStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Database, Transaction } from "./Database.ts"
import { add, move, note, rowOf, type RunRow } from "./RunRows.ts"
import { claim, freePlace, settleAll } from "./SqliteGrants.ts"
import type { Steps } from "./Snapshots.ts"
import * as SqliteRunViews from "./SqliteRunViews.ts"

/** So many runs are written by one step, so that a big submit does not hold up everybody else. */
const submitBatch = 200
/** Runs that move one by one, each as `Run.advance` says, do so in steps of so many. */
const moveBatch = 150
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
      db.readInTurns("openGates", function* (at) {
        const { next, open } = yield* openGates(at, nextGate, limit)
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
const holders = `
  SELECT run FROM lease WHERE gate = ?1
  UNION ALL SELECT run FROM ready WHERE gate = ?1
  UNION ALL SELECT run FROM scheduled WHERE gate = ?1 AND gate IS NOT NULL AND fence > 0
  LIMIT ?2`

export const holdersOf = (at: Connection, gate: string, limit: number): ReadonlyArray<RunId> =>
  at.all<{ run: RunId }>(holders, gate, limit).map(({ run }) => run)

/** How many hold a place, counted up to `atMost`. */
export const heldAt = (at: Connection, gate: string, atMost: number): number =>
  at.get<{ held: number }>(`SELECT count(*) AS held FROM (${holders})`, gate, atMost)!.held

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
  let held: number | undefined
  while (admissions.length < most) {
    const waiting = db.get<{ run: RunId }>(firstWaiting, gate)
    if (waiting === undefined) break
    const row = rowOf(db, waiting.run)!
    held ??= heldAt(db, gate, -1)
    const decision = Blocking.decide(gateOf(row), held)
    if (decision === "wait") break
    if (decision === "admit") {
      move(tx, row, { _tag: "Admit" })
      held++
    } else {
      const message = `busy with run ${holdersOf(db, gate, 1)[0]}`
      move(tx, row, { _tag: "Discard" }, { failure: { tag: "Discarded", message } })
    }
    admissions.push({ run: row.id, state: decision === "admit" ? "Ready" : "Discarded" })
  }
  return admissions
}

function* openGates(
  at: Connection,
  from: string,
  limit: number,
): Steps<{ readonly next: string; readonly open: ReadonlyArray<GateKey> }> {
  const open: Array<GateKey> = []
  let last = from
  for (let seen = 0; seen < gatesBatch && open.length < limit; seen++) {
    yield
    const waiting = at.get<{ gate: GateKey; run: RunId }>(
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
    const gate = gateOf(rowOf(at, waiting.run)!)
    const held = heldAt(at, gate.key, gate.places)
    if (Blocking.decide(gate, held) !== "wait" && !open.includes(gate.key)) open.push(gate.key)
  }
  return { next: last, open }
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

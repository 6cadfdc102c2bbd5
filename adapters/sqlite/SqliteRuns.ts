/** Runs in SQLite: see `RunStorage` for the laws, and `Database` for what makes a step atomic. */
import { Effect, Option, Result } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as Change from "../../core/domain/Change.ts"
import {
  type Conclusion,
  finishing,
  handedOver,
  hooksLeft,
  isFinishing,
  lossOf,
  resultOf,
} from "../../core/domain/Conclusion.ts"
import * as Crashes from "../../core/domain/Crashes.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as GivenBack from "../../core/domain/GivenBack.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { type Fence, never } from "../../core/domain/Lease.ts"
import * as Places from "../../core/domain/Places.ts"
import * as Share from "../../core/domain/Share.ts"
import * as Touching from "../../core/domain/Touching.ts"
import * as Rollback from "../../core/domain/Rollback.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { type Failure, tooLate, unnotified } from "../../core/domain/RunView.ts"
import type {
  Admission,
  Expiry,
  FamilySpec,
  FamilySubmitted,
  Known,
  Mark,
  Notice,
  Ordered,
  Recovered,
  RunSpec,
  RunStorage,
  Submitted,
} from "../../core/services/RunStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Database, Transaction } from "./Database.ts"
import {
  add,
  change,
  deadlineOf,
  forgetDeadline,
  move,
  note,
  noteEnd,
  noteGrant,
  rowOf,
  type RunRow,
  stateOf,
} from "./RunRows.ts"
import * as SqliteConclusions from "./SqliteConclusions.ts"
import * as SqliteEndings from "./SqliteEndings.ts"
import { claim, freePlace, settleAll } from "./SqliteGrants.ts"
import type { Steps } from "./Snapshots.ts"
import * as SqliteAdmission from "./SqliteAdmission.ts"
import * as SqliteRunViews from "./SqliteRunViews.ts"

/** So many runs are written by one step, so that a big submit does not hold up everybody else. */
const submitBatch = 200
/** Runs that move one by one, each as `Run.advance` says, do so in steps of so many. */
const moveBatch = 150
/** Fewer than may be decided about in a step, as most decide about one run. */
const gatesAtOnce = 100
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
    submitFamily: (family) => db.write("submitFamily", (tx) => submitFamily(tx, family)),
    admit: (gates) =>
      Effect.map(
        Effect.forEach(decidedTogether(gates), (some) =>
          inSteps(
            Number.MAX_SAFE_INTEGER,
            (most) => db.write("admit", (tx) => admit(tx, some, most)),
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
      db.write("start", (tx) => marks.map((mark) => start(tx, incarnation, mark))),
    conclude: (incarnation, conclusions) =>
      db.write(
        "conclude",
        (tx) => conclusions.map((each) => SqliteConclusions.keep(tx, incarnation, each)),
      ),
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
          unplaced: distinct(steps.flatMap(({ unplaced }) => unplaced)),
          nextInMillis: steps.at(-1)!.nextInMillis,
        }),
      ),
    cancel: (run, by) => db.write("cancel", (tx) => ordered(tx, run, cancel(by))),
    suspend: (run, by) => db.write("suspend", (tx) => ordered(tx, run, suspend(by))),
    resume: (run, by) => db.write("resume", (tx) => ordered(tx, run, resume(by))),
    change: (run, order) => db.write("change", (tx) => ordered(tx, run, changed(order))),
    notify: (run, notice, by) => db.write("notify", (tx) => ordered(tx, run, notify(notice, by))),
    revive: (run, by) => db.write("revive", (tx) => ordered(tx, run, revive(by))),
    rollback: (run, demand = {}) =>
      db.write("rollback", (tx) => ordered(tx, run, rollback(demand))),
    expire: (limit) =>
      Effect.map(
        inSteps(
          limit,
          (most) => db.write("expire", (tx) => expire(tx, most)),
          ({ runs }) => runs.length,
        ),
        (steps) => ({
          runs: steps.flatMap(({ runs }) => runs),
          freed: distinct(steps.flatMap(({ freed }) => freed)),
        }),
      ),
    isQuiet: db.read(
      "isQuiet",
      () => db.get<{ is_quiet: number }>(selectQuiet, db.now())!.is_quiet === 1,
    ),
    endOverdue: (limit) =>
      // Mostly there is none, and to look costs less than a transaction that writes.
      Effect.flatMap(
        db.read("endOverdue", () => SqliteEndings.nextInMillis(db, db.now())),
        (nextInMillis) =>
          nextInMillis === 0
            ? db.write(
              "endOverdue",
              (tx) => SqliteEndings.endOverdue(tx, Math.min(limit, moveBatch)),
            )
            : Effect.succeed({ reports: [], freed: [], nextInMillis }),
      ),
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

/** What its key says of a spec, if it names a run already. */
const knownBy = (tx: Transaction, spec: RunSpec): Submitted | undefined => {
  if (spec.idempotencyKey === undefined) return undefined
  const known = tx.db.get<{ run: RunId }>(
    "SELECT run FROM idempotency WHERE namespace = ? AND key = ?",
    spec.namespace,
    spec.idempotencyKey,
  )
  const row = known && rowOf(tx.db, known.run)
  if (row === undefined) return undefined
  return row.task === spec.task && row.payload === spec.payload
    ? { _tag: "Submitted", run: row.id, state: row.state, isNew: false }
    : { _tag: "Conflict", run: row.id }
}

const keepKey = (tx: Transaction, { idempotencyKey, namespace }: RunSpec, run: RunId): void => {
  if (idempotencyKey === undefined) return
  tx.db.run(
    `INSERT INTO idempotency VALUES (?, ?, ?)
     ON CONFLICT (namespace, key) DO UPDATE SET run = excluded.run`,
    namespace,
    idempotencyKey,
    run,
  )
}

const noteAsked = (tx: Transaction, { asked }: RunSpec, id: RunId): void => {
  if (asked === undefined) return
  note(tx, { id, attempt: 0, fence: never }, Asked.kind, Asked.textOf(asked))
}

const submit = (tx: Transaction, spec: RunSpec): Submitted => {
  const known = knownBy(tx, spec)
  if (known !== undefined) return known
  const { run, state } = add(tx, spec)
  keepKey(tx, spec, run)
  noteAsked(tx, spec, run)
  return { _tag: "Submitted", run, state, isNew: true }
}

const submitFamily = (tx: Transaction, family: FamilySpec): FamilySubmitted => {
  const { children: specs, parent: spec, places } = family
  const known = knownBy(tx, spec)
  if (known?._tag === "Conflict") return known
  if (known !== undefined) {
    return { ...known, children: [], gate: FanIn.gate(known.run, places).key }
  }
  const { run: parent, state } = add(tx, spec, undefined, { isParent: true })
  keepKey(tx, spec, parent)
  noteAsked(tx, spec, parent)
  const gate = FanIn.gate(parent, places)
  const count = specs.length
  const children = specs.map((child, index) => {
    const idempotencyKey = FanIn.keyOf({ parent, index, count })
    const { run } = add(tx, { ...child, gate, idempotencyKey })
    tx.db.run("INSERT INTO child VALUES (?, ?, ?, ?)", parent, index, count, run)
    return run
  })
  return { _tag: "Submitted", run: parent, state, isNew: true, children, gate: gate.key }
}

/** Gates of a pool, or of a namespace's things, are decided about together; others many at once. */
const decidedTogether = (
  gates: ReadonlyArray<GateKey>,
): ReadonlyArray<ReadonlyArray<GateKey>> =>
  Map.groupBy(new Set(gates), (gate) => {
    if (Share.isGate(gate)) return Share.poolOf(gate)
    return Touching.isGate(gate) ? Touching.prefixOf(Touching.touchesOf(gate).namespace) : ""
  }).entries().flatMap(([name, some]) => name === "" ? batches(some, gatesAtOnce) : [some])
    .toArray()

const admit = (
  tx: Transaction,
  gates: ReadonlyArray<GateKey>,
  most: number,
): ReadonlyArray<Admission> => {
  const gate = gates[0]!
  if (Share.isGate(gate)) return SqliteAdmission.admitSharing(tx, gates, most)
  if (Touching.isGate(gate)) {
    return SqliteAdmission.admitTouching(tx, Touching.touchesOf(gate).namespace, most)
  }
  const admissions = SqliteAdmission.admit(tx, gates, most, (row) => cancel()(tx, row, new Set()))
  if (admissions.length >= most) return admissions
  return [...admissions, ...gates.flatMap((gate) => gather(tx, gate))]
}

const endsOf = `
  SELECT outcome.state, count(*) AS runs
  FROM child LEFT JOIN outcome ON outcome.run = child.run
  WHERE child.parent = ? GROUP BY outcome.state`

/** Ends the parent behind the gate, if its children have. */
const gather = (tx: Transaction, gate: GateKey): ReadonlyArray<Admission> => {
  const parent = FanIn.parentOf(gate)
  const row = parent === undefined ? undefined : rowOf(tx.db, parent)
  if (row?.state !== "Awaiting" || row.is_parent !== 1) return []
  const ends = tx.db.all<{ state: number | null; runs: number }>(endsOf, row.id)
  if (ends.some(({ state }) => state === null)) return []
  const verdict = FanIn.verdict(ends.map(({ state }) => Run.finals[state!]!))
  const sum = (some: typeof ends) => some.reduce((all, { runs }) => all + runs, 0)
  const failure = FanIn.failureOf(sum(ends.filter(({ state }) => state !== 0)), sum(ends))
  move(tx, row, { _tag: "Gather", verdict }, verdict === "Failed" ? { failure } : {})
  return [{ run: row.id, state: verdict }]
}

const haveEnded = `
  SELECT run FROM parked WHERE is_parent = 1 AND NOT EXISTS (
    SELECT 1 FROM child WHERE child.parent = parked.run
      AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.run = child.run)) LIMIT ?`

const firstAfter = `
  SELECT blocked.gate, run.gate_places, run.gate_when_full
  FROM blocked CROSS JOIN run ON run.id = blocked.run
  WHERE blocked.gate > ? ORDER BY blocked.gate, blocked.rank, blocked.turn LIMIT 1`

function* openGates(
  at: Connection,
  from: string,
  limit: number,
): Steps<{ readonly next: string; readonly open: ReadonlyArray<GateKey> }> {
  const open: Array<GateKey> = at.all<{ run: RunId }>(haveEnded, Math.max(0, limit))
    .map(({ run }) => FanIn.gate(run, 1).key)
  let last = from
  for (let seen = 0; seen < gatesBatch && open.length < limit; seen++) {
    yield
    const waiting = at.get<SqliteAdmission.GateRow>(firstAfter, last)
    if (waiting === undefined) {
      // Past the last gate: from the first again, unless all were seen.
      if (last === "" || from === "") return { next: "", open }
      last = ""
      from = ""
      continue
    }
    const gate = SqliteAdmission.gateOf(waiting)
    last = gate.key
    const held = SqliteAdmission.heldAt(at, gate.key)
    const decision = Blocking.decide(gate, held, !hasOlder(at, gate))
    const isNew = Share.isGate(gate.key) && !SqliteAdmission.isSharing(at, gate.key)
    if ((isNew || decision !== "wait") && !open.includes(gate.key)) open.push(gate.key)
  }
  return { next: last, open }
}

/** Whether one waits there that is not the latest, where only that is kept. */
const hasOlder = (at: Connection, gate: Blocking.Gate): boolean =>
  Blocking.keepsLatest(gate) &&
  at.get("SELECT 1 FROM blocked WHERE gate = ? LIMIT 1 OFFSET 1", gate.key) !== undefined

/**
 * Running's cell Start; a run that was asked to stop, or to be put down, does not start, nor one for which it
 * is too late: a sweep lets that expire.
 */
const start = (
  tx: Transaction,
  incarnation: Incarnation,
  { ending, fence, run }: Mark,
): boolean => {
  const held = tx.db.get<{ id: RunId; attempt: number; fence: Fence; is_started: number }>(
    `SELECT run AS id, attempt, fence, is_started FROM lease
     WHERE run = ? AND incarnation = ? AND fence = ? AND is_cancelling = 0 AND is_suspending = 0
       AND (is_started = 1 OR attempt > 1 OR NOT EXISTS (
         SELECT 1 FROM deadline WHERE deadline.run = lease.run AND deadline.at <= ?))`,
    run,
    incarnation,
    fence,
    tx.now,
  )
  if (held?.is_started === 0) {
    tx.db.run("UPDATE lease SET is_started = 1 WHERE run = ?", run)
    note(tx, held, "Started")
    if (ending !== undefined) SqliteEndings.put(tx.db, tx.now, incarnation, ending)
  }
  return held !== undefined
}

const reconcile = (tx: Transaction, incarnation: Incarnation, { grants, rounds }: Known) => {
  const held = tx.db.all<{ run: RunId; fence: Fence; loop: number; round: number }>(
    "SELECT run, fence, loop, round FROM lease WHERE incarnation = ?",
    incarnation,
  )
  const named = new Set(grants.map(Places.nameOf))
  const answered = new Map(rounds.map(({ loop, round }) => [loop, round]))
  for (const { fence, loop, round, run } of held) {
    const isAnswered = round <= (answered.get(loop) ?? -1)
    if (!isAnswered || named.has(Places.nameOf({ run, fence }))) continue
    const row = rowOf(tx.db, run)!
    if (row.is_started === 1) forgetDeadline(tx, run)
    noteGrant(tx, row)
    note(tx, row, "Released", GivenBack.unknown)
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
  const unplaced = new Set<Lane.Lane>()
  for (const { run } of due) {
    const row = rowOf(tx.db, run)!
    // Its turn at the gate begins now, not when it was submitted.
    const turn = row.gate === null ? {} : { turn: tx.nextRunId() }
    const state = move(tx, row, { _tag: "Due" }, turn)
    const lane = row.lane_name as Lane.Lane
    if (state?._tag === "Blocked") gates.add(row.gate as GateKey)
    else if (Lane.isUnplaced(lane)) unplaced.add(lane)
  }
  const next = tx.db.get<{ due_at: number }>(
    "SELECT due_at FROM scheduled ORDER BY due_at LIMIT 1",
  )
  return {
    promoted: due.length,
    gates: [...gates],
    unplaced: [...unplaced],
    nextInMillis: next === undefined ? undefined : Math.max(0, next.due_at - tx.now),
  }
}

/** The answer to an order about a run that is known. */
const ordered = <A>(
  tx: Transaction,
  run: RunId,
  carryOut: (tx: Transaction, row: RunRow, freed: Set<GateKey>) => A,
): Option.Option<Ordered<A>> => {
  const row = rowOf(tx.db, run)
  if (row === undefined) return Option.none()
  const freed = new Set<GateKey>()
  const answer = carryOut(tx, row, freed)
  return Option.some({ answer, freed: [...freed] })
}

const childrenOf = ({ db }: Transaction, parent: RunId): ReadonlyArray<RunRow> =>
  db.all<{ run: RunId }>("SELECT run FROM child WHERE parent = ? ORDER BY nth", parent)
    .flatMap(({ run }) => rowOf(db, run) ?? [])

type Cancelled = "confirmed" | "requested" | "ended"

/** What was handed over goes on for its hooks, and then ends so. */
const finish = (
  tx: Transaction,
  row: RunRow,
  event: Extract<Run.RunEvent, { readonly _tag: "Notify" | "Expire" | "Cancel" }>,
  kind: string,
  conclusion: Pick<Conclusion, "state" | "result" | "failure">,
  by?: string,
): void => {
  noteGrant(tx, row)
  note(tx, row, kind, hooksLeft, conclusion.failure, { by })
  forgetDeadline(tx, row.id)
  move(tx, row, { ...event, isLeft: true })
  const { fence, id: run } = row
  SqliteConclusions.put(tx, { run, fence, conclusion: finishing(conclusion) })
}

const cancel = (by?: string) => (tx: Transaction, row: RunRow, freed: Set<GateKey>): Cancelled => {
  if (isFinishing(SqliteConclusions.find(tx, row.id), row.state)) return "requested"
  if (SqliteConclusions.isMarked(tx, row)) {
    finish(tx, row, { _tag: "Cancel" }, "CancelAsked", { state: "Cancelled" }, by)
    return "requested"
  }
  const state = move(tx, row, { _tag: "Cancel" })
  if (state === undefined) return "ended"
  // The end of what waited tells of it by itself, but not whose order it was.
  if (by !== undefined || state._tag === "Running") {
    note(tx, row, "CancelAsked", undefined, undefined, { by })
  }
  if (state._tag === "Awaiting") {
    for (const child of childrenOf(tx, row.id)) cancel(by)(tx, child, freed)
    freed.add(FanIn.gate(row.id, 1).key)
    return "requested"
  }
  if (state._tag === "Running") {
    tx.hint(`executor ${row.incarnation!}`)
    return "requested"
  }
  freePlace(row, state, freed)
  return "confirmed"
}

const suspend = (by?: string) => (tx: Transaction, row: RunRow, freed: Set<GateKey>) => {
  if (Run.isFinal(row.state)) return "ended"
  if (row.state === "Suspended") return "confirmed"
  const state = move(tx, row, { _tag: "Suspend" })
  if (state === undefined) return "refused"
  if (state._tag === "Running") {
    note(tx, row, "SuspendAsked", undefined, undefined, { by })
    tx.hint(`executor ${row.incarnation!}`)
    return "requested"
  }
  note(tx, row, "Suspended", undefined, undefined, { by })
  freePlace(row, state, freed)
  return "confirmed"
}

const changed = (order: Change.Change) => (tx: Transaction, row: RunRow) => {
  if (Run.isFinal(row.state)) return "ended"
  const { fence, level } = row
  if (Result.isFailure(Run.advance(stateOf(row), { _tag: "Change" }))) return "refused"
  const deadlineAt = deadlineOf(tx.db, row.id)
  const revision = Change.firstRevision + row.changes
  const refused = Change.refused(tx.now, { deadlineAt, fence, revision }, order)
  if (refused !== undefined) return refused
  const after = {
    level: order.level ?? level,
    deadlineAt: Change.deadlineOf(tx.now, { deadlineAt }, order),
  }
  change(tx, row, after.level, after.deadlineAt)
  for (const [kind, detail] of Change.said({ deadlineAt, level }, after, order)) {
    note(tx, row, kind, detail, undefined, { by: order.by })
  }
  return "confirmed"
}

const resume = (by?: string) => (tx: Transaction, row: RunRow, freed: Set<GateKey>) => {
  if (Run.isFinal(row.state)) return "ended"
  if (row.state !== "Suspended") return row.is_suspending === 1 ? "refused" : "confirmed"
  const event = {
    _tag: "Resume",
    isDue: row.due_at <= tx.now,
    places: row.gate_places ?? 0,
  } as const
  const state = move(tx, row, event, { turn: tx.nextRunId() })!
  note(tx, row, "Resumed", undefined, undefined, { by })
  if (state._tag !== "Scheduled") freePlace(row, state, freed)
  return "confirmed"
}

const notify =
  (notice: Notice, by?: string) => (tx: Transaction, row: RunRow, freed: Set<GateKey>) => {
    const isKnown = row.state !== "Awaiting" &&
      SqliteConclusions.find(tx, row.id) !== undefined
    if (Run.isFinal(row.state) || isKnown) return wasNotified(tx, row) ? "duplicate" : "ended"
    const isSuccess = notice._tag === "Succeeded"
    if (SqliteConclusions.isMarked(tx, row)) {
      const { _tag, ...said } = notice
      finish(tx, row, { _tag: "Notify", isSuccess }, "Notified", { state: _tag, ...said }, by)
      return "applied"
    }
    const state = move(
      tx,
      row,
      { _tag: "Notify", isSuccess },
      isSuccess ? { result: notice.result } : { failure: notice.failure },
    )
    if (state === undefined) return "refused"
    note(tx, row, "Notified", undefined, undefined, { by })
    freePlace(row, state, freed)
    return "applied"
  }

/** Since it was revived last, if ever. */
const wasNotified = ({ db }: Transaction, { id }: RunRow): boolean =>
  db.get<{ kind: string }>(
    `SELECT kind FROM journal WHERE run = ? AND kind IN ('Notified', 'Revived')
     ORDER BY id DESC LIMIT 1`,
    id,
  )?.kind === "Notified"

const revive = (by?: string) => (tx: Transaction, row: RunRow, freed: Set<GateKey>) => {
  if (!Run.isFinal(row.state)) return "confirmed"
  const children = childrenOf(tx, row.id)
  const revived = (children.length > 0 ? children : [row])
    .filter((each) => reviveOne(tx, each, freed, by))
  if (revived.length === 0) return "refused"
  reopen(tx, children.length > 0 ? row : parentOf(tx, row), by)
  return "confirmed"
}

const parentOf = ({ db }: Transaction, { parent }: RunRow): RunRow | undefined =>
  parent === null ? undefined : rowOf(db, parent)

/** A child of it goes on. */
const reopen = (tx: Transaction, parent: RunRow | undefined, by: string | undefined): void => {
  if (parent === undefined || move(tx, parent, { _tag: "Reopen" }) === undefined) return
  noteEnd(tx, parent)
  note(tx, parent, "Reopened", undefined, undefined, { by })
}

const reviveOne = (
  tx: Transaction,
  row: RunRow,
  freed: Set<GateKey>,
  by: string | undefined,
): boolean => {
  if (!goOn(tx, row, "Revive", freed)) return false
  SqliteConclusions.forget(tx, row.id)
  const failure = failureOf(row)
  note(tx, row, "Revived", failure?.message, failure, { by })
  return true
}

const failureOf = ({ failure }: RunRow): Failure | undefined =>
  failure === null ? undefined : JSON.parse(failure) as Failure

/** What has ended goes on, and its end stays told. */
const goOn = (
  tx: Transaction,
  row: RunRow,
  _tag: "Revive" | "RollBack",
  freed: Set<GateKey>,
): boolean => {
  const event = { _tag, isGated: row.gate !== null }
  const state = move(tx, row, event, { turn: tx.nextRunId() })
  if (state === undefined) return false
  noteGrant(tx, row)
  noteEnd(tx, row)
  freePlace(row, state, freed)
  return true
}

const rollback =
  (demand: Rollback.Demand) => (tx: Transaction, row: RunRow, freed: Set<GateKey>) => {
    const { db } = tx
    const concluded = SqliteConclusions.find(tx, row.id)
    const answer = Rollback.answer({
      state: stateOf(row),
      failure: failureOf(row),
      conclusion: concluded,
      hasChildren: db.get("SELECT 1 FROM child WHERE parent = ? LIMIT 1", row.id) !== undefined,
      isGated: row.gate !== null,
      isUntold: () => db.get("SELECT 1 FROM outbox WHERE run = ? LIMIT 1", row.id) !== undefined,
    })
    if (answer !== undefined) return answer
    const asked = Rollback.asked(demand)
    const { by, note: why } = demand
    goOn(tx, row, "RollBack", freed)
    const conclusion = Rollback.conclusion(asked, row.result ?? concluded?.result)
    SqliteConclusions.put(tx, { run: row.id, fence: row.fence, conclusion })
    note(tx, row, "RollbackAsked", why, undefined, { by })
    note(tx, row, "Revived", asked.message, asked)
    reopen(tx, parentOf(tx, row), by)
    return "confirmed"
  }

const expire = (tx: Transaction, limit: number): Expiry => {
  const { db, now } = tx
  const runs: Array<Expiry["runs"][number]> = []
  const freed = new Set<GateKey>()
  const end = (run: RunId, failure: Failure) => {
    const row = rowOf(db, run)!
    if (row.state === "Awaiting" && SqliteConclusions.isMarked(tx, row)) {
      finish(tx, row, { _tag: "Expire" }, "Unnotified", handedOver)
      return void runs.push({ run, state: "Ready" })
    }
    const state = move(tx, row, { _tag: "Expire" }, row.is_cancelling === 1 ? {} : { failure })
    if (state === undefined) return
    freePlace(row, state, freed)
    runs.push({ run, state: state._tag })
  }
  const late = db.all<{ run: RunId }>(
    "SELECT run FROM deadline WHERE at <= ? ORDER BY at LIMIT ?",
    now,
    limit,
  )
  for (const { run } of late) {
    db.run("DELETE FROM deadline WHERE run = ?", run)
    end(run, tooLate)
  }
  const silent = db.all<{ run: RunId }>(
    "SELECT run FROM parked WHERE awaits_until <= ? ORDER BY awaits_until LIMIT ?",
    now,
    limit - runs.length,
  )
  for (const { run } of silent) end(run, unnotified)
  return { runs, freed: [...freed] }
}

const selectQuiet = `
  SELECT NOT EXISTS (SELECT 1 FROM blocked)
    AND NOT EXISTS (SELECT 1 FROM parked WHERE is_parent = 1 OR awaits_until <= ?1)
    AND NOT EXISTS (SELECT 1 FROM deadline WHERE at <= ?1)
    AND NOT EXISTS (SELECT 1 FROM ending WHERE at <= ?1 + 1000)
    AND NOT EXISTS (SELECT 1 FROM executor
      WHERE may_hold = 1 AND (standing IN ('lost', 'left') OR ends_at <= ?1))
    AND NOT EXISTS (SELECT 1 FROM lane WHERE instr(name, '@') > 0 AND instr(name, '?') = 0)
    AS is_quiet`

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
      const lately = latelyOf(tx, row)
      noteGrant(tx, row)
      SqliteConclusions.forgetMark(tx, row.id)
      const concluded = SqliteConclusions.find(tx, row.id)
      note(tx, row, "Lost", lossOf(name, standing, concluded))
      const state = lose(tx, row, name, lately, concluded)
      freePlace(row, state, freed)
      runs.push({ run, state: state._tag })
    }
    if (runs.length >= limit) break
    // All it held is freed, and it gets nothing more (E4).
    db.run("UPDATE executor SET may_hold = 0 WHERE incarnation = ?", incarnation)
  }
  return { lost, runs, freed: [...freed] }
}

/** Looked for only where it may make a difference. */
const latelyOf = (
  { db, now }: Transaction,
  { crashes, crashes_max, id, kind }: RunRow,
): number | undefined => {
  if (crashes < crashes_max) return undefined
  const { within } = db.get<{ readonly within: number | null }>(selectWindow, kind) ?? {}
  if (within === null || within === undefined) return undefined
  const journal = db.all<{ readonly kind: string; readonly at: number }>(
    "SELECT kind, at FROM journal WHERE run = ?",
    id,
  )
  return Crashes.lately(journal, now, within)
}

const selectWindow = `
  SELECT task.definition ->> '$.policy.crashesWithinMillis' AS within
  FROM kind JOIN task ON task.namespace = kind.namespace AND task.name = kind.task
  WHERE kind.id = ?`

const lose = (
  tx: Transaction,
  row: RunRow,
  name: string,
  lately: number | undefined,
  concluded: Conclusion | undefined,
): Run.RunState => {
  const event = {
    _tag: "Lose",
    crashesMax: row.crashes_max,
    isAtMostOnce: row.is_at_most_once === 1,
    ...(lately !== undefined && { lately }),
    ...(concluded !== undefined && { concluded: concluded.state }),
  } as const
  return move(tx, row, event, {
    ...(row.is_cancelling === 0 && {
      failure: { tag: "ExecutorLost", message: `${name} was lost` },
    }),
    ...(concluded !== undefined && {
      failure: concluded.failure,
      result: resultOf(concluded),
    }),
  })!
}

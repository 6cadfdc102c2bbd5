/** What SQLite decides at gates, from rows: see R8, R20 and R21 of `RunStorage`. */
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Failure, Reason } from "../../core/domain/RunView.ts"
import * as Share from "../../core/domain/Share.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { Admission } from "../../core/services/RunStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Transaction } from "./Database.ts"
import { move, note, orderOfKind, patienceOf, rowOf, type RunRow } from "./RunRows.ts"

/** Holders are derived from rows: ready, running, parked with it, or scheduled between attempts. */
const holders = `
  SELECT run FROM lease WHERE gate = ?1
  UNION ALL SELECT run FROM ready WHERE gate = ?1
  UNION ALL SELECT run FROM parked WHERE gate = ?1 AND gate IS NOT NULL
  UNION ALL SELECT run FROM scheduled WHERE gate = ?1 AND gate IS NOT NULL AND fence > 0
  LIMIT ?2`

/** After every key that begins so. */
const endOf = (prefix: string) => `${prefix}\u{10ffff}`

const gatesHeld = ["lease", "ready", "parked", "scheduled"].map((table) =>
  `SELECT gate, run FROM ${table} WHERE gate >= ?1 AND gate < ?2 AND gate IS NOT NULL
   ${table === "scheduled" ? "AND fence > 0" : ""}`
).join(" UNION ALL ")

/** Those of a pool of shares hold its places together. */
export const holdersOf = (
  at: Connection,
  gate: GateKey,
  limit: number,
): ReadonlyArray<RunId> => {
  const pool = Share.isGate(gate) ? Share.poolOf(gate) : undefined
  const rows = pool === undefined
    ? at.all<{ run: RunId }>(holders, gate, limit)
    : at.all<{ run: RunId }>(`${gatesHeld} LIMIT ?3`, pool, endOf(pool), limit)
  return rows.map(({ run }) => run)
}

const heldWhere = (gate: string) =>
  `(SELECT count(*) FROM lease WHERE ${gate})
  + (SELECT count(*) FROM ready WHERE ${gate} AND gate IS NOT NULL)
  + (SELECT count(*) FROM parked WHERE ${gate} AND gate IS NOT NULL)
  + (SELECT count(*) FROM scheduled WHERE ${gate} AND gate IS NOT NULL AND fence > 0)`

const held = `SELECT ${heldWhere("gate = ?1")} AS held`
const heldOfPool = `SELECT ${heldWhere("gate >= ?1 AND gate < ?2")} AS held`

/** How many hold a place. */
export const heldAt = (at: Connection, gate: GateKey): number => {
  const pool = Share.isGate(gate) ? Share.poolOf(gate) : undefined
  return pool === undefined
    ? at.get<{ held: number }>(held, gate)!.held
    : at.get<{ held: number }>(heldOfPool, pool, endOf(pool))!.held
}

/** Of a run as its rows tell. */
export type GateRow = Pick<RunRow, "gate" | "gate_places" | "gate_when_full">

/** `row` waits at a gate, so it has all of it. */
export const gateOf = ({ gate, gate_places, gate_when_full }: GateRow): Blocking.Gate => ({
  key: gate as GateKey,
  places: gate_places!,
  whenFull: gate_when_full!,
})

const firstOfQueue = `
  SELECT blocked.run, blocked.turn, run.gate_places AS places
  FROM blocked CROSS JOIN run ON run.id = blocked.run
  WHERE blocked.gate = ? ORDER BY blocked.rank, blocked.turn LIMIT 1`

/** What a gate decides by, of a run that waits there. */
type Waiter = readonly [
  gate: GateKey,
  held: number,
  run: RunId,
  places: number,
  whenFull: Blocking.Gate["whenFull"],
]

/**
 * The first at each of these gates that somebody waits at. All of a run is a join of fifteen tables,
 * which would cost more than all else that admission does.
 */
const firstsAt = `
  WITH asked AS MATERIALIZED (
    SELECT value AS gate, ${heldWhere("gate = value")} AS held FROM json_each(?1)
    WHERE EXISTS (SELECT 1 FROM blocked WHERE gate = value)
  )
  SELECT asked.gate, held, blocked.run, run.gate_places, run.gate_when_full
  FROM asked CROSS JOIN blocked ON blocked.gate = asked.gate AND (blocked.rank, blocked.turn) IN (
    SELECT rank, turn FROM blocked WHERE gate = asked.gate ORDER BY rank, turn LIMIT ?2)
  CROSS JOIN run ON run.id = blocked.run
  ORDER BY asked.gate, blocked.rank, blocked.turn`

export const isSharing = (at: Connection, gate: GateKey): boolean =>
  at.get("SELECT 1 FROM share WHERE gate = ?", gate) !== undefined

/** The queues of a pool. */
const queuesOf = ({ db }: Transaction, pool: string): Share.Queues<RunId> => ({
  first: () =>
    db.get<Share.Queue>(
      "SELECT gate, tag, turn FROM share WHERE pool = ? ORDER BY tag, turn LIMIT 1",
      pool,
    ),
  has: (gate) => isSharing(db, gate),
  put: ({ gate, tag, turn }) => {
    db.run(
      "INSERT OR REPLACE INTO share (gate, pool, tag, turn) VALUES (?, ?, ?, ?)",
      gate,
      pool,
      tag,
      turn,
    )
  },
  forget: (gate) => {
    db.run("DELETE FROM share WHERE gate = ?", gate)
  },
  waiting: (gate) => db.get<{ run: RunId; turn: number; places: number }>(firstOfQueue, gate),
})

/** Those of one pool. */
export const admitSharing = (
  tx: Transaction,
  gates: ReadonlyArray<GateKey>,
  most: number,
): ReadonlyArray<Admission> => {
  const admissions: Array<Admission> = []
  const held = heldAt(tx.db, gates[0]!)
  const queues = queuesOf(tx, Share.poolOf(gates[0]!))
  Share.admit(queues, gates, held, most, (run) => admissions.push(...admitted(tx, [run])))
  return admissions
}

const isCareful = "coalesce(blocked.is_careful, run.is_at_most_once)"

/** Only a careful run has one, and it counts until it has begun. */
const deadline = `
  deadline AS late WHERE ${isCareful} AND blocked.attempt = 0 AND late.run = run.id`

const patienceEnd = `?2 + ${patienceOf("blocked")}`
/** As `Lane.rank` for the level, the deadline and the order of the task. */
const rank = `
  coalesce((SELECT CASE ${orderOfKind("blocked.kind")}
      WHEN 'age' THEN NULL
      WHEN 'deadline' THEN min(?2 + ${Lane.longestMillis}, late.at)
      ELSE min(${patienceEnd}, late.at) END
    FROM ${deadline}), ${patienceEnd})`

/** The cell Admit of Blocked: all its numbers stay, and it is ready since now. */
const becomeReady = `
  INSERT INTO ready SELECT run.lane, blocked.level, ${rank}, run.id, blocked.kind,
    blocked.attempt, blocked.crashes, blocked.fence, blocked.settled, ${isCareful}, 1, NULL,
    blocked.gate
  FROM json_each(?1) AS passing CROSS JOIN blocked ON blocked.run = passing.value
  CROSS JOIN run ON run.id = blocked.run
  RETURNING run, kind, lane`

const noteAdmitted = `
  INSERT INTO journal (run, at, kind, attempt, fence)
  SELECT blocked.run, ?2, 'Admitted', blocked.attempt, blocked.fence
  FROM json_each(?1) AS passing CROSS JOIN blocked ON blocked.run = passing.value`

/** Many at once cost a third of one by one. */
const admitted = (tx: Transaction, runs: ReadonlyArray<RunId>): ReadonlyArray<Admission> => {
  if (runs.length === 0) return []
  const { db, now } = tx
  const passing = JSON.stringify(runs)
  const rows = db.tuples<[run: RunId, kind: number, lane: number]>(becomeReady, passing, now)
  db.run(noteAdmitted, passing, now)
  db.run("DELETE FROM blocked WHERE run IN (SELECT value FROM json_each(?))", passing)
  const names = new Map<number, Lane.Lane>()
  const nameOf = (lane: number) => {
    const { name } = db.get<{ name: Lane.Lane }>("SELECT name FROM lane WHERE id = ?", lane)!
    names.set(lane, name)
    tx.hint(`lane ${name}`)
    return name
  }
  return rows.map(([run, kind, number]) => {
    tx.tally(kind, "Blocked", -1)
    tx.tally(kind, "Ready", 1)
    const lane = names.get(number) ?? nameOf(number)
    return { run, state: "Ready", ...(Lane.isUnplaced(lane) && { unplaced: lane }) }
  })
}

const discarded = (tx: Transaction, row: RunRow, failure: Failure): Admission => {
  move(tx, row, { _tag: "Discard" }, { failure })
  return { run: row.id, state: "Discarded" }
}

/** At most so many decisions about gates of any kind but shares; `cancel` stops as an order does. */
export const admit = (
  tx: Transaction,
  gates: ReadonlyArray<GateKey>,
  most: number,
  cancel: (row: RunRow) => unknown,
): ReadonlyArray<Admission> => {
  const admissions: Array<Admission> = []
  const left = () => most - admissions.length
  let open = gates
  let each = 1
  while (open.length > 0 && left() > 0) {
    const firsts = tx.db.tuples<Waiter>(firstsAt, JSON.stringify(open), each)
    const passing: Array<RunId> = []
    const refused: Array<Waiter> = []
    const further: Array<GateKey> = []
    for (const [gate, waiters] of Map.groupBy(firsts, ([gate]) => gate)) {
      const most = left() - passing.length - refused.length
      if (most <= 0) break
      if (Blocking.keepsLatest({ whenFull: waiters[0]![4] })) {
        admissions.push(...admitLatest(tx, gate, most, cancel))
        continue
      }
      if (decideInTurn(waiters, most, passing, refused) === "further") further.push(gate)
    }
    admissions.push(...admitted(tx, passing), ...refused.map((waiter) => refuse(tx, waiter)))
    // At most gates one passes. Where all were decided about, more are looked at.
    open = further
    each = Math.max(1, Math.min(each * 2, Math.ceil(left() / open.length)))
  }
  return admissions
}

/** Of those who wait at one gate; whether the next are to be looked at too. */
const decideInTurn = (
  waiters: ReadonlyArray<Waiter>,
  most: number,
  passing: Array<RunId>,
  refused: Array<Waiter>,
): "wait" | "further" => {
  let taken = waiters[0]![1]
  for (const [at, waiter] of waiters.entries()) {
    const [key, , run, places, whenFull] = waiter
    const gate = { key, places, whenFull }
    // Such are decided about together, once they are the first.
    if (Blocking.keepsLatest(gate)) return "further"
    const decision = Blocking.decide(gate, taken)
    if (decision === "wait" || at === most) return "wait"
    if (decision === "admit") {
      taken++
      passing.push(run)
    } else refused.push(waiter)
  }
  return "further"
}

const refuse = (tx: Transaction, [gate, , run]: Waiter): Admission =>
  discarded(tx, rowOf(tx.db, run)!, Blocking.busyWith(holdersOf(tx.db, gate, 1)[0]!))

/** All but the latest end; it may ask the holders to stop. */
const admitLatest = (
  tx: Transaction,
  gate: GateKey,
  most: number,
  cancel: (row: RunRow) => unknown,
): ReadonlyArray<Admission> => {
  const { db } = tx
  const waiting = db.all<{ run: RunId }>(
    "SELECT run FROM blocked WHERE gate = ? ORDER BY turn DESC LIMIT ?",
    gate,
    most + 1,
  ).map(({ run }) => rowOf(db, run)!)
  const [latest, ...others] = waiting
  const admissions = others.slice(0, most)
    .map((row) => discarded(tx, row, Blocking.replacedBy(latest!.id)))
  if (others.length >= most) return admissions
  const decided = () => Blocking.decide(gateOf(latest!), heldAt(db, gate))
  if (decided() === "replace") {
    for (const run of holdersOf(db, gate, -1)) {
      const holder = rowOf(db, run)!
      if (holder.is_cancelling === 1) continue
      note(tx, holder, "Replaced", Blocking.replacedBy(latest!.id).message)
      cancel(holder)
    }
  }
  return decided() === "admit" ? [...admissions, ...admitted(tx, [latest!.id])] : admissions
}

/** So many that wait are looked at, of each gate the first of each level at least. */
const lookedAt = 1000

const waitingAt = `
  SELECT gate, run, turn FROM blocked WHERE gate >= ? AND gate < ? ORDER BY turn LIMIT ?`

/** Those that touch something, in the order in which they came. */
export const admitTouching = (
  tx: Transaction,
  namespace: Namespace,
  most: number,
): ReadonlyArray<Admission> => {
  const { db } = tx
  const prefix = Touching.prefixOf(namespace)
  const taken = new Touching.Taken()
  const held = db.all<{ gate: GateKey }>(
    `SELECT DISTINCT gate FROM (${gatesHeld})`,
    prefix,
    endOf(prefix),
  )
  for (const { gate } of held) taken.take(Touching.touchesOf(gate).touches)
  const passing: Array<RunId> = []
  const waiting = db.all<{ gate: GateKey; run: RunId }>(
    waitingAt,
    prefix,
    endOf(prefix),
    lookedAt,
  )
  for (const { gate, run } of waiting) {
    if (passing.length === most) break
    if (taken.take(Touching.touchesOf(gate).touches)) passing.push(run)
  }
  return admitted(tx, passing)
}

/** Who has what it touches, and who waits before it for any of that. */
export const touchingReason = (at: Connection, { gate, namespace, turn }: RunRow): Reason => {
  const own = gate as GateKey
  const prefix = Touching.prefixOf(namespace as Namespace)
  const isOpposed = ({ gate }: { readonly gate: GateKey }) => Touching.areOpposed(gate, own)
  const holding = at.all<{ gate: GateKey; run: RunId }>(gatesHeld, prefix, endOf(prefix))
    .filter(isOpposed)
    .map(({ run }) => run)
    .sort((a, b) => a - b)
  const ahead = at.all<{ gate: GateKey; turn: number }>(
    waitingAt,
    prefix,
    endOf(prefix),
    lookedAt,
  ).filter((other) => other.turn < turn! && isOpposed(other)).length
  return holding.length === 0 && ahead === 0
    ? { _tag: "GateOpen", gate: own }
    : { _tag: "GateFull", gate: own, holders: holding.slice(0, 10), ahead }
}

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
import { move, note, rowOf, type RunRow } from "./RunRows.ts"

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

// Four counts take a twelfth of the time of one count of all that a limit cuts: 5 µs, not 60.
const heldWhere = (gate: string) =>
  `SELECT
  (SELECT count(*) FROM lease WHERE ${gate})
  + (SELECT count(*) FROM ready WHERE ${gate} AND gate IS NOT NULL)
  + (SELECT count(*) FROM parked WHERE ${gate} AND gate IS NOT NULL)
  + (SELECT count(*) FROM scheduled WHERE ${gate} AND gate IS NOT NULL AND fence > 0) AS held`

const held = heldWhere("gate = ?1")
const heldOfPool = heldWhere("gate >= ?1 AND gate < ?2")

/** How many hold a place. */
export const heldAt = (at: Connection, gate: GateKey): number => {
  const pool = Share.isGate(gate) ? Share.poolOf(gate) : undefined
  return pool === undefined
    ? at.get<{ held: number }>(held, gate)!.held
    : at.get<{ held: number }>(heldOfPool, pool, endOf(pool))!.held
}

/** `row` waits at a gate, so it has all of it. */
export const gateOf = ({ gate, gate_places, gate_when_full }: RunRow): Blocking.Gate => ({
  key: gate as GateKey,
  places: gate_places!,
  whenFull: gate_when_full!,
})

const firstWaiting = "SELECT run, turn FROM blocked WHERE gate = ? ORDER BY level, turn LIMIT 1"

export const isSharing = (at: Connection, gate: GateKey): boolean =>
  at.get("SELECT 1 FROM share WHERE gate = ?", gate) !== undefined

/** The queues of a pool, whose first runs come as rows. */
const queuesOf = ({ db }: Transaction, pool: string): Share.Queues<RunRow> => ({
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
  waiting: (gate) => {
    const first = db.get<{ run: RunId; turn: number }>(firstWaiting, gate)
    if (first === undefined) return undefined
    const run = rowOf(db, first.run)!
    return { run, turn: first.turn, places: run.gate_places! }
  },
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
  Share.admit(queues, gates, held, most, (row) => admissions.push(admitted(tx, row)))
  return admissions
}

const admitted = (tx: Transaction, row: RunRow): Admission => {
  move(tx, row, { _tag: "Admit" })
  const lane = row.lane_name as Lane.Lane
  return { run: row.id, state: "Ready", ...(Lane.isUnplaced(lane) && { unplaced: lane }) }
}

const discarded = (tx: Transaction, row: RunRow, failure: Failure): Admission => {
  move(tx, row, { _tag: "Discard" }, { failure })
  return { run: row.id, state: "Discarded" }
}

/** At most so many decisions; `cancel` stops a run as an order does. */
export const admit = (
  tx: Transaction,
  gate: GateKey,
  most: number,
  cancel: (row: RunRow) => unknown,
): ReadonlyArray<Admission> => {
  if (Touching.isGate(gate)) return admitTouching(tx, Touching.touchesOf(gate).namespace, most)
  const { db } = tx
  const admissions: Array<Admission> = []
  let taken: number | undefined
  while (admissions.length < most) {
    const waiting = db.get<{ run: RunId }>(firstWaiting, gate)
    if (waiting === undefined) break
    const row = rowOf(db, waiting.run)!
    if (Blocking.keepsLatest(gateOf(row))) return admitLatest(tx, gate, most, cancel)
    taken ??= heldAt(db, gate)
    const decision = Blocking.decide(gateOf(row), taken)
    if (decision === "wait") break
    if (decision === "admit") taken++
    admissions.push(
      decision === "admit" ? admitted(tx, row) : discarded(tx, row, {
        tag: "Discarded",
        message: `busy with run ${holdersOf(db, gate, 1)[0]}`,
      }),
    )
  }
  return admissions
}

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
  return decided() === "admit" ? [...admissions, admitted(tx, latest!)] : admissions
}

/** So many that wait are looked at, of each gate the first of each level at least. */
const lookedAt = 1000

const waitingAt = `
  SELECT gate, run, turn FROM blocked WHERE gate >= ? AND gate < ? ORDER BY turn LIMIT ?`

/** Those that touch something, in the order in which they came. */
const admitTouching = (
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
  const admissions: Array<Admission> = []
  const waiting = db.all<{ gate: GateKey; run: RunId }>(
    waitingAt,
    prefix,
    endOf(prefix),
    lookedAt,
  )
  for (const { gate, run } of waiting) {
    if (admissions.length === most) break
    if (!taken.take(Touching.touchesOf(gate).touches)) continue
    admissions.push(admitted(tx, rowOf(db, run)!))
  }
  return admissions
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

/** Placements in SQLite: see `PlacementStorage` for the laws. */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import {
  type Load,
  type Move,
  nothing,
  type Remembered,
  type Unplaced,
} from "../../core/domain/Placing.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import type {
  Applied,
  Decision,
  PlacementStorage,
  Waiting,
} from "../../core/services/PlacementStorage.ts"
import type { Database, Transaction } from "./Database.ts"
import { add, move, note, rowOf, type RunRow } from "./RunRows.ts"

export const make = (db: Database): PlacementStorage => ({
  displace: Effect.fnUntraced(function* (limit) {
    const { gone, lanes } = yield* db.read("displace", () => routedLanes(db))
    const displaced = gone.length === 0
      ? 0
      : yield* db.write("displace", (tx) => displace(tx, gone, limit))
    if (displaced === 0) return { displaced, lanes }
    return { displaced, lanes: yield* db.read("displace", () => routedLanes(db).lanes) }
  }),
  waiting: (lane, limit) => db.read("waiting", () => waiting(db, lane, limit)),
  place: (decision) => db.write("place", (tx) => place(tx, decision)),
})

interface RoutedLane {
  readonly id: number
  readonly name: Lane.Lane
  readonly has_runs: number
}

const selectRouted = `
  SELECT id, name, EXISTS (SELECT 1 FROM ready WHERE ready.lane = lane.id) AS has_runs
  FROM lane WHERE instr(name, '@') > 0 AND instr(name, '?') = 0`

/** The lanes in which runs wait to be placed, and those of executors that are not live. */
const routedLanes = (db: Database) => {
  const all = db.all<RoutedLane>(selectRouted)
  const live = new Set(
    all.length === 0 ? [] : db.all<{ incarnation: Incarnation }>(
      "SELECT incarnation FROM executor WHERE standing = 'live' AND ends_at > ?",
      db.now(),
    ).map(({ incarnation }) => incarnation),
  )
  return {
    lanes: all.filter(({ has_runs, name }) => has_runs === 1 && Lane.isUnplaced(name))
      .map(({ name }) => name),
    gone: all.flatMap(({ id, name }) => {
      const executor = Lane.executorOf(name)
      return executor === undefined || live.has(executor) ? [] : [{ id, executor }]
    }),
  }
}

/** The lanes of an executor that has been gone for as long are not asked for again. */
const longGoneMillis = 600_000

const isOver = `
  NOT EXISTS (SELECT 1 FROM executor WHERE incarnation = ?
    AND (standing IN ('live', 'draining') OR ends_at > ?))
  AND NOT EXISTS (SELECT 1 FROM ready WHERE lane = ?)`

/** Their place in the order stays as it is, so does all else of them. */
const displace = (
  { db, now }: Transaction,
  gone: ReadonlyArray<{ readonly id: number; readonly executor: Incarnation }>,
  limit: number,
): number => {
  let displaced = 0
  for (const { executor, id } of gone) {
    displaced += Number(
      db.run(
        `UPDATE ready SET lane = (SELECT run.lane FROM run WHERE run.id = ready.run)
         WHERE lane = ?1 AND run IN (SELECT run FROM ready WHERE lane = ?1 LIMIT ?2)`,
        id,
        limit - displaced,
      ).changes,
    )
    db.run(`DELETE FROM lane WHERE id = ? AND ${isOver}`, id, executor, now - longGoneMillis, id)
    if (displaced >= limit) break
  }
  return displaced
}

const selectUnplaced = `
  SELECT ready.run, ready.fence, ready.gate, placed.bound_to, child.nth, child.count
  FROM ready LEFT JOIN placed ON placed.run = ready.run LEFT JOIN child ON child.run = ready.run
  WHERE ready.lane = (SELECT id FROM lane WHERE name = ?)
  ORDER BY ready.level, ready.rank, ready.run LIMIT ?`

const waiting = (db: Database, lane: Lane.Lane, limit: number): Waiting => {
  const { namespace } = Lane.taskOf(lane)
  const runs = db.all<{
    run: RunId
    fence: Fence
    gate: GateKey
    bound_to: Incarnation | null
    nth: number | null
    count: number | null
  }>(selectUnplaced, lane, limit).map(({ bound_to, count, fence, gate, nth, run }): Unplaced => ({
    run,
    fence,
    gate,
    ...(bound_to !== null && { boundTo: bound_to }),
    ...(nth !== null && { shard: { index: nth, count: count! } }),
  }))
  const remembered = db.get<{ value: string }>("SELECT value FROM remembered WHERE lane = ?", lane)
  return {
    revision: revisionOf(db, namespace),
    remembered: remembered === undefined ? nothing : JSON.parse(remembered.value) as Remembered,
    runs,
    loads: runs.length === 0 ? [] : loadsOf(db, namespace),
  }
}

const revisionOf = (db: Database, namespace: Namespace): number =>
  db.get<{ revision: number }>("SELECT revision FROM fleet WHERE namespace = ?", namespace)
    ?.revision ?? 0

const selectHeld = `
  SELECT lease.incarnation, kind.task, count(*) AS runs
  FROM executor CROSS JOIN lease ON lease.incarnation = executor.incarnation
  JOIN kind ON kind.id = lease.kind
  WHERE executor.namespace = ? AND executor.ends_at > ? AND executor.standing = 'live'
  GROUP BY lease.incarnation, lease.kind`

const selectPlaced = `
  SELECT name, (SELECT count(*) FROM ready WHERE ready.lane = lane.id) AS runs FROM lane
  WHERE instr(name, '@') > 0 AND instr(name, '?') = 0 AND name >= ?1 || ':' AND name < ?1 || ';'`

const loadsOf = (db: Database, namespace: Namespace): ReadonlyArray<Load> => [
  ...db.all<{ incarnation: Incarnation; task: TaskName; runs: number }>(
    selectHeld,
    namespace,
    db.now(),
  ),
  ...db.all<{ name: Lane.Lane; runs: number }>(selectPlaced, namespace).flatMap(
    ({ name, runs }) => {
      const incarnation = Lane.executorOf(name)
      if (incarnation === undefined || runs === 0) return []
      return [{ incarnation, task: Lane.taskOf(name).task, runs }]
    },
  ),
]

const place = (tx: Transaction, { lane, moves, remembered, revision }: Decision): Applied => {
  const { db } = tx
  const { namespace } = Lane.taskOf(lane)
  if (revisionOf(db, namespace) !== revision) return { _tag: "Stale" }
  const from = db.laneOf(lane)
  const rows = moves.map(({ run }) => rowOf(db, run))
  const isStale = rows.some((row, at) =>
    row?.state !== "Ready" || row.ready_lane !== from || row.fence !== moves[at]!.fence
  )
  if (isStale) return { _tag: "Stale" }
  const gates = new Set<GateKey>()
  for (const [at, each] of moves.entries()) {
    const gate = apply(tx, rows[at]!, each)
    if (gate !== null) gates.add(gate)
  }
  db.run(
    `INSERT INTO fleet VALUES (?, 1)
     ON CONFLICT (namespace) DO UPDATE SET revision = revision + 1`,
    namespace,
  )
  db.run(
    "INSERT INTO remembered VALUES (?, ?) ON CONFLICT (lane) DO UPDATE SET value = excluded.value",
    lane,
    JSON.stringify(remembered),
  )
  return { _tag: "Applied", gates: [...gates] }
}

/** The gate that has to be looked at for it, if any. */
const apply = (tx: Transaction, row: RunRow, made: Move): GateKey | null => {
  const { db, now } = tx
  switch (made._tag) {
    case "To": {
      db.run(
        "UPDATE ready SET lane = ? WHERE lane = ? AND level = ? AND rank = ? AND run = ?",
        db.laneOf(made.lane),
        row.ready_lane,
        row.level,
        row.rank,
        row.id,
      )
      tx.hint(`lane ${made.lane}`)
      if (made.placed === undefined) return null
      const { incarnation, name, strategy } = made.placed
      db.run(
        `INSERT INTO placed (run, at, placement) VALUES (?, ?, ?)
         ON CONFLICT (run) DO UPDATE SET at = excluded.at, placement = excluded.placement`,
        row.id,
        now,
        JSON.stringify(made.placed),
      )
      note(tx, row, "Placed", `with ${name} (${incarnation}), by ${strategy}`)
      return null
    }
    case "Fail":
      move(tx, row, { _tag: "Misplace" }, { failure: made.failure })
      return row.gate as GateKey | null
    case "Spread":
      note(tx, row, "Spread", `in ${made.parts.length} parts`)
      move(tx, row, { _tag: "Spread" })
      return spread(tx, row, made.parts)
  }
}

/** Each part is as the run was submitted, and has its deadline. */
const spread = (
  tx: Transaction,
  row: RunRow,
  parts: ReadonlyArray<{ readonly boundTo: Incarnation | undefined }>,
): GateKey => {
  const { db, now } = tx
  const gate = FanIn.gate(row.id, parts.length)
  const deadline = db.get<{ at: number }>(
    "DELETE FROM deadline WHERE run = ? RETURNING at",
    row.id,
  )
  for (const [index, { boundTo }] of parts.entries()) {
    const shard = { parent: row.id, index, count: parts.length }
    const { run } = add(tx, {
      namespace: row.namespace as Namespace,
      task: row.task as TaskName,
      payload: row.payload,
      lane: row.lane_name as Lane.Lane,
      level: row.level,
      delayMillis: 0,
      gate,
      idempotencyKey: FanIn.keyOf(shard),
      isAtMostOnce: row.is_at_most_once === 1,
      crashesMax: row.crashes_max,
      deadlineMillis: deadline && Math.max(1, deadline.at - now),
    })
    db.run("INSERT INTO child VALUES (?, ?, ?, ?)", row.id, index, parts.length, run)
    if (boundTo !== undefined) {
      db.run("INSERT INTO placed (run, bound_to) VALUES (?, ?)", run, boundTo)
    }
  }
  return gate.key
}

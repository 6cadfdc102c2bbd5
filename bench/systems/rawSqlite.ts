/**
 * The limit of SQLite: the rows that the product writes, in its own tables, by as few statements as
 * will do, each about a whole batch. There is no engine around it, no Effect, no fibers, no fences to
 * compare, and nothing is counted: what it gives no scheduler over these tables can.
 */
import { Effect } from "effect"
import { join } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { openFile } from "../../adapters/sqlite/OpenFile.ts"
import { batches, keyOf, type Load, payloadOf, type Prepared, type System } from "../System.ts"
import type { Witness } from "../Witness.ts"

const batchSize = 200

const statements = (db: DatabaseSync) => {
  const prepared = (sql: string) => {
    const statement = db.prepare(sql)
    statement.setReturnArrays(true)
    return statement
  }
  return {
    begin: prepared("BEGIN IMMEDIATE"),
    commit: prepared("COMMIT"),
    run: prepared(
      `INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once, crashes_max,
         gate, gate_places, gate_when_full, payload)
       VALUES (?1, 1, 1, 1, ?2, 0, 0, 3, ?3, iif(?3 IS NULL, NULL, 1), iif(?3 IS NULL, NULL, 'wait'), ?4)`,
    ),
    ready: prepared(
      "INSERT INTO ready VALUES (1, 1, ?, ?, 1, 0, 0, 0, 0, 0, 0, NULL, NULL)",
    ),
    blocked: prepared(
      `INSERT INTO blocked (gate, level, rank, turn, run, kind, attempt, crashes, fence, settled,
         is_careful)
       VALUES (?, 1, 60000, ?2, ?2, 1, 0, 0, 0, 0, 0)`,
    ),
    ended: prepared(
      `INSERT INTO outcome (run, kind, state, attempt, crashes, fence, settled, is_careful, incarnation,
         claimed_at, due_at, finished_at)
       SELECT run, kind, 0, attempt, crashes, fence, fence, is_careful, incarnation, claimed_at, due_at, ?2
       FROM json_each(?1) CROSS JOIN lease ON run = value`,
    ),
    freed: prepared(
      "DELETE FROM lease WHERE run IN (SELECT value FROM json_each(?)) RETURNING gate",
    ),
    last: prepared(
      `SELECT rank, run FROM ready WHERE lane = 1 AND level = 1
       ORDER BY rank, run LIMIT 1 OFFSET ${batchSize - 1}`,
    ),
    grants: prepared(
      `SELECT run.id, payload FROM ready CROSS JOIN run ON run.id = ready.run
       WHERE ready.lane = 1 AND ready.level = 1 AND (rank, run) <= (?, ?) ORDER BY rank, run`,
    ),
    leased: prepared(
      `INSERT INTO lease (run, incarnation, loop, round, kind, attempt, crashes, fence, settled,
         is_careful, is_started, is_cancelling, claimed_at, due_at, gate)
       SELECT run, 1, 0, 1, kind, 1, 0, 1, 0, 0, 0, 0, ?3, NULL, gate
       FROM ready WHERE lane = 1 AND level = 1 AND (rank, run) <= (?1, ?2)`,
    ),
    taken: prepared("DELETE FROM ready WHERE lane = 1 AND level = 1 AND (rank, run) <= (?, ?)"),
    /** Those who pass, looked for by nothing but the places that each gate has. */
    firsts: prepared(
      `SELECT blocked.run FROM json_each(?) CROSS JOIN blocked ON run =
         (SELECT run FROM blocked WHERE gate = value ORDER BY rank, turn LIMIT 1)
       WHERE NOT EXISTS (SELECT 1 FROM lease WHERE gate = value)
         AND NOT EXISTS (SELECT 1 FROM ready WHERE gate = value AND gate IS NOT NULL)`,
    ),
    opened: prepared(
      `INSERT INTO ready SELECT 1, 1, ?2, run, kind, 0, 0, 0, 0, 0, 1, NULL, gate
       FROM json_each(?1) CROSS JOIN blocked ON run = value`,
    ),
    passed: prepared("DELETE FROM blocked WHERE run IN (SELECT value FROM json_each(?))"),
    left: prepared(
      "SELECT EXISTS (SELECT 1 FROM ready) OR EXISTS (SELECT 1 FROM lease) OR EXISTS (SELECT 1 FROM blocked)",
    ),
  }
}

type Statements = ReturnType<typeof statements>

const admit = (at: Statements, gates: ReadonlyArray<string>): void => {
  const runs = at.firsts.all(JSON.stringify(gates)) as unknown as ReadonlyArray<[run: number]>
  const passing = JSON.stringify(runs.map(([run]) => run))
  at.opened.run(passing, Date.now())
  at.passed.run(passing)
}

type Granted = ReadonlyArray<[run: number, payload: string]>

/** Settles what was granted and grants what is next, in one transaction. */
const round = (
  at: Statements,
  held: Granted,
): { granted: Granted; gates: ReadonlyArray<string> } => {
  const runs = JSON.stringify(held.map(([run]) => run))
  at.begin.run()
  at.ended.run(runs, Date.now())
  const freed = at.freed.all(runs) as unknown as ReadonlyArray<[gate: string | null]>
  const [rank, run] = (at.last.get() ?? [9e15, 9e15]) as unknown as [number, number]
  const granted = at.grants.all(rank, run) as unknown as Granted
  at.leased.run(rank, run, Date.now())
  at.taken.run(rank, run)
  at.commit.run()
  return { granted, gates: [...new Set(freed.flatMap(([gate]) => gate ?? []))] }
}

const prepare: System["prepare"] = Effect.fnUntraced(function* ({ folder }) {
  const db = yield* openFile(join(folder, "limit.sqlite"))
  const at = statements(db)
  let filled: Load = { jobs: 0, lanes: 1, levels: 1 }
  return {
    fill: (load) =>
      Effect.sync(() => {
        filled = load
        for (const batch of batches(load)) {
          at.begin.run()
          for (const n of batch) {
            const gate = load.blocking === undefined
              ? null
              : `default:bench/lane-0:${keyOf(n, load)}`
            at.run.run(n + 1, 0, gate, JSON.stringify(payloadOf(n, load)))
            if (gate === null) at.ready.run(60_000, n + 1)
            else at.blocked.run(gate, n + 1)
          }
          at.commit.run()
        }
        if (load.blocking === undefined) return
        const gates = Array.from({ length: load.blocking.keys }, (_, key) => key)
        at.begin.run()
        admit(at, gates.map((key) => `default:bench/lane-0:${key}`))
        at.commit.run()
      }),
    drain: Effect.fnUntraced(function* (witness: Witness) {
      let held: Granted = []
      for (;;) {
        const { gates, granted } = round(at, held)
        if (gates.length > 0) {
          at.begin.run()
          admit(at, gates)
          at.commit.run()
        } else if (granted.length === 0 && held.length === 0) return
        held = granted
        const jobs = granted.map(([, payload]) => JSON.parse(payload))
        for (const job of jobs) witness.begin(job)
        yield* Effect.yieldNow
        for (const job of jobs) witness.end(job)
      }
    }),
    unfinished: Effect.sync(() => {
      const [left] = at.left.get() as unknown as [number]
      return left === 1 && filled.jobs > 0
    }),
  } satisfies Prepared
})

export const rawSqlite: ReadonlyArray<System> = [{
  name: "raw SQL",
  version: "node:sqlite",
  settings: "sqlite",
  store: "sqlite",
  note: `the product's tables, a batch of ${batchSize} a statement, one loop, full fsync`,
  refuses: ({ beside, blocking, lanes, levels }) =>
    beside === undefined && lanes === 1 && levels === 1 && blocking?.policy !== "concurrent"
      ? undefined
      : "raw SQL in SQLite: one lane, and no policy or fifo",
  prepare,
}]

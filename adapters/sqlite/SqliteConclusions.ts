/** How runs will end, in SQLite: R22 of `RunStorage`. */
import { type Conclusion, hooksLeft, isMark } from "../../core/domain/Conclusion.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import type { Concluding } from "../../core/services/RunStorage.ts"
import type { Transaction } from "./Database.ts"

/** All of it is absent when nothing was concluded. */
export interface ConclusionRow {
  readonly state: Conclusion["state"] | null
  readonly phase: Conclusion["phase"] | null
  readonly result: string | null
  readonly failure: string | null
}

export type KnownConclusion = ConclusionRow & Pick<Conclusion, "state" | "phase">

export const conclusionOf = (
  { failure, phase, result, state }: KnownConclusion,
): Conclusion => ({
  state,
  phase,
  ...(result !== null && { result }),
  ...(failure !== null && { failure: JSON.parse(failure) as Failure }),
})

/** A mark is none. */
export const find = ({ db }: Transaction, run: RunId): Conclusion | undefined => {
  const row = db.get<KnownConclusion>(
    `SELECT state, phase, result, failure FROM conclusion
     WHERE run = ? AND phase <> 'handedOver'`,
    run,
  )
  return row && conclusionOf(row)
}

/** Whether its hooks are still to come, of what is handed over or about to be. */
export const isMarked = (
  { db }: Transaction,
  { fence, id, state }: { readonly id: RunId; readonly fence: Fence; readonly state: string },
): boolean =>
  (state === "Running" || state === "Awaiting") &&
  db.get(
      "SELECT 1 FROM conclusion WHERE run = ? AND fence = ? AND phase = 'handedOver'",
      id,
      fence,
    ) !== undefined

/** Whether that grant has left its hooks to a later one: its mark has become a conclusion. */
const hasLeftHooks = ({ db }: Transaction, run: RunId, fence: Fence): boolean =>
  db.get(
    "SELECT 1 FROM journal WHERE run = ? AND fence = ? AND detail = ? LIMIT 1",
    run,
    fence,
    hooksLeft,
  ) !== undefined

/** Its holder was lost: nobody knows whether it was handed over. */
export const forgetMark = ({ db }: Transaction, run: RunId): void =>
  void db.run("DELETE FROM conclusion WHERE run = ? AND phase = 'handedOver'", run)

export const forget = ({ db }: Transaction, run: RunId): void =>
  void db.run("DELETE FROM conclusion WHERE run = ?", run)

/** Whether its holder still has it. A copy of an earlier word, that comes late, changes nothing. */
export const keep = (
  tx: Transaction,
  incarnation: Incarnation,
  concluding: Concluding,
): boolean => {
  const { conclusion, fence, run } = concluding
  // It comes again, and has become a conclusion meanwhile.
  if (isMark(conclusion) && hasLeftHooks(tx, run, fence)) return true
  // What is to stop ends once it is handed over, so nothing would be left to whoever comes next.
  const held = tx.db.get(
    `SELECT 1 FROM lease
     WHERE run = ? AND incarnation = ? AND fence = ? AND is_cancelling <= ?`,
    run,
    incarnation,
    fence,
    Number(!isMark(conclusion)),
  )
  if (held === undefined) return false
  if (isMark(conclusion) && find(tx, run) !== undefined) return false
  write(
    tx,
    concluding,
    "WHERE excluded.fence > fence OR phase <> 'cleaning' OR excluded.phase = 'cleaning'",
  )
  tx.db.run("DELETE FROM deadline WHERE run = ?", run)
  return true
}

/** Of a run that nobody holds. */
export const put = (tx: Transaction, concluding: Concluding): void => write(tx, concluding, "")

const write = (
  { db }: Transaction,
  { conclusion: { failure, phase, result, state }, fence, run }: Concluding,
  unless: string,
): void =>
  void db.run(
    `INSERT INTO conclusion VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run)
     DO UPDATE SET fence = excluded.fence, state = excluded.state, phase = excluded.phase,
       result = excluded.result, failure = excluded.failure ${unless}`,
    run,
    fence,
    state,
    phase,
    result ?? null,
    failure === undefined ? null : JSON.stringify(failure),
  )

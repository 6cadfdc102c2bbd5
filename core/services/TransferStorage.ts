/**
 * Moves all that a storage keeps into another one, of whatever technology.
 *
 * - **X1 whole.** What was exported and imported answers as it did before: runs in every state with
 *   their journals and events, keys, families, tasks, calendars, triggers, slots, executors, locks.
 * - **X2 one instant.** An export is as of the instant at which it begins, however long it is read
 *   and whatever happens meanwhile. It holds up nobody.
 * - **X3 bounded.** Both take a page at a time, so neither needs room for all. (What keeps everything
 *   in memory anyway may keep it there twice.)
 * - **X4 into nothing.** An import into a storage that keeps something is refused, and changes
 *   nothing.
 * - **X5 all or nothing.** An import that fails, is interrupted or killed leaves nothing behind.
 * - **X6 held.** A run that was held is held by the same incarnation under the same fence, and its
 *   report counts. Whoever was here has a whole ttl from the import on to beat again; whoever was lost
 *   stays lost, and recovery is as R11 says: nothing that may run once is begun again.
 * - **X7 onward.** Ids, incarnations and fences go on above the highest that was ever given. A report
 *   with an older fence stays fenced, a repeated one `duplicate`.
 * - **X8 used.** A slot with a record does not fire again; its trigger goes on where it was.
 * - **X9 in order.** Who waits at a gate or in a lane goes in the order as before, and a parent ends
 *   with its last child.
 * - **X10 locks.** A lock's next fence is above all before it. One that was held stays so for as long
 *   as its lease had left.
 *
 * Locks are those that are kept beside the storage. Those in Redis stay where they are, and need no
 * move.
 *
 * What is given after an export has begun is not in it, and two storages must not both go on. So
 * whoever moves ends all schedulers and executors first; an export beside them is a backup.
 */
import type { Effect, Stream } from "effect"
import type { Refused } from "../domain/Refused.ts"
import type { Counts, StateRecord } from "../domain/StateRecord.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

/** So many records are read, or written, at a time. */
export const pageMax = 200

export interface TransferStorage {
  readonly export: Stream.Stream<StateRecord, StorageUnavailable>

  /** How many of each sort. `Refused`: it keeps something, or the records contradict each other. */
  readonly import: <E>(
    records: Stream.Stream<StateRecord, E>,
  ) => Effect.Effect<Counts, E | Refused | StorageUnavailable>
}

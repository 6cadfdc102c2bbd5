/**
 * Lets go of what has ended long ago.
 *
 * - **H1 kept.** A run that has not ended, or that ended less long ago than the policy of its task
 *   says (`Retention`), is not taken.
 * - **H2 whole.** A run that is taken leaves with all that is told of it, its key and its journal,
 *   and is unknown from then on. A report that still comes is `fenced`. A parent and its children
 *   leave at once, when each of them may; so nobody meets, or revives, half a family.
 * - **H3 keys.** A key is free once `Retention.keyMillis` have passed since its submit and its run
 *   has ended; not before, and also while its run is still known.
 * - **H4 slots.** Slot records leave by the class of their trigger's task, the earliest first. Their
 *   slots stay used for ever (T1). What somebody asked for leaves likewise, and its request with it.
 * - **H5 bounded.** A call takes at most `limit` runs, keys and slot records each, and more only of the
 *   last family. When it answers that there is no more, a pass over all there was has ended, and the
 *   next call begins another. Two at once take each thing once.
 * - **H6 events.** Events that nobody took leave with their run, and their subscription counts them as
 *   missed. What its trigger would have made of one is recorded as not fired. Records of events leave
 *   as all slot records do.
 * - **H7 in time.** Who calls once a minute takes a slot record within a minute of when it may leave, also
 *   when its task was given another class; and within a quarter of an hour when its trigger was given
 *   another task.
 */
import type { Effect } from "effect"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface Retired {
  readonly runs: number
  readonly keys: number
  readonly slots: number
  /** Whether this pass has not come to its end. */
  readonly hasMore: boolean
}

export interface HistoryStorage {
  readonly retire: (limit: number) => Effect.Effect<Retired, StorageUnavailable>
}

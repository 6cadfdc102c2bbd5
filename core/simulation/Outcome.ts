/** All that is known of a world that has come to its end. */
import type { Kept } from "./Kept.ts"
import type { Ledger } from "./Ledger.ts"
import type { Reading } from "./readings.ts"
import type { SetClock } from "./SetClock.ts"
import type { Table } from "./Table.ts"
import type { RunId } from "../domain/RunId.ts"

export interface Later {
  /** By the clock of the storage. */
  readonly now: number
  readonly runs: ReadonlySet<RunId>
  /** The slots of those that it has records of, for each trigger. */
  readonly slots: ReadonlyMap<string, ReadonlyArray<number>>
}

/**
 * An instant is in milliseconds since 1970, by the world's own clock; but slots, and what is kept of
 * triggers, are by that of the storage.
 */
export interface Outcome {
  readonly ledger: Ledger
  readonly kept: Kept
  /** What was told of runs before they had ended. */
  readonly readings: ReadonlyArray<Reading>
  /** Every slot of these triggers must have its record, from the first of them to the last. */
  readonly judged: ReadonlyArray<{
    readonly trigger: string
    readonly from: number
    readonly until: number
  }>
  /** One run of each of these triggers is always alive, by the rule that is the same for all. */
  readonly permanent: ReadonlyArray<string>
  /** What these triggers tail, in its order. */
  readonly tailed: ReadonlyArray<{
    readonly trigger: string
    readonly rows: Table["rows"]
  }>
  /** From the acknowledgement of a pause to the order to go on. */
  readonly pauses: ReadonlyArray<{
    readonly trigger: string
    readonly from: number
    readonly to: number
  }>
  /** That of the storage. */
  readonly clock: SetClock
  /** The task each end of whose runs makes another run. */
  readonly followed: string
  readonly schedulers: ReadonlyArray<string>
  /** What went wrong, with which process, however often that was started. */
  readonly faults: ReadonlyArray<{
    readonly what: string
    readonly process: string
    readonly from: number
    readonly until: number
  }>
  /** What is known of all that in the end, each time that some days have gone by. */
  readonly later: ReadonlyArray<Later>
  /** Runs that somebody had go on after their end was looked at. */
  readonly stirred: ReadonlySet<RunId>
  /** From here on nothing goes wrong, and all that did has been made up for. */
  readonly calmFrom: number
  readonly endedAt: number
}

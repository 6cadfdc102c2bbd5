/**
 * Keeps which executor each run of a routed task was placed with, and what is remembered of that.
 *
 * A run that is ready waits in the unplaced lane of its task, from which nobody claims. `Placing`
 * decides to whom it goes; here that is applied, and kept.
 *
 * - **P1 one executor.** A placed run is granted to the executor it was placed with, or to nobody,
 *   until it is taken from it.
 * - **P2 whole or stale.** `place` applies all of a decision, or nothing of it, when anything was
 *   placed in the namespace since it was read, or one of the runs does not wait any more. Of two that
 *   were decided from the same state at once, one is applied.
 * - **P3 remembered.** What was remembered with the last decision about a lane is read with the next,
 *   whoever asks and whatever was restarted meanwhile.
 * - **P4 taken back.** `displace` takes what waits in the lane of an executor that is not live back to
 *   where it is placed, in its order and with its fence, and nothing else. What comes back from an
 *   executor, released, lost or to be tried again, waits there by itself.
 * - **P5 told.** A run says with whom it was placed last, when, by which strategy, and why the others
 *   were passed over.
 * - **P6 spread.** A run becomes the parent of its parts in one step, as a family is kept (R18). A part
 *   that is bound to an executor is told of as such for as long as it waits.
 * - **P7 failed.** A run that is not to be placed ends as failed, with the reason, and gives its place
 *   back.
 * - **P8 loads.** What an executor holds, and what waits in its lanes, is counted from rows.
 */
import type { Effect } from "effect"
import type { GateKey } from "../domain/Blocking.ts"
import type { Lane } from "../domain/Lane.ts"
import type { Load, Move, Remembered, Unplaced } from "../domain/Placing.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

/** The runs of a task that wait to be placed, and what is known when they are looked at. */
export interface Waiting {
  /** Of the namespace: it rises with every decision. */
  readonly revision: number
  readonly remembered: Remembered
  /** The first, in order. */
  readonly runs: ReadonlyArray<Unplaced>
  /** Of the executors of the namespace that are live. None, if no run waits. */
  readonly loads: ReadonlyArray<Load>
}

export interface Decision {
  /** The unplaced lane that all these runs wait in. */
  readonly lane: Lane
  /** As it was read. */
  readonly revision: number
  readonly remembered: Remembered
  readonly moves: ReadonlyArray<Move>
}

export type Applied =
  /** `gates`: where places were given back, and where parts wait. */
  | { readonly _tag: "Applied"; readonly gates: ReadonlyArray<GateKey> }
  | { readonly _tag: "Stale" }

export interface PlacementStorage {
  /** Takes back at most `limit` runs; `lanes` are all in which runs wait to be placed. */
  readonly displace: (limit: number) => Effect.Effect<
    { readonly displaced: number; readonly lanes: ReadonlyArray<Lane> },
    StorageUnavailable
  >

  readonly waiting: (lane: Lane, limit: number) => Effect.Effect<Waiting, StorageUnavailable>

  readonly place: (decision: Decision) => Effect.Effect<Applied, StorageUnavailable>
}

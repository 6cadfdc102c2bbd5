/**
 * A system is one scheduler with one choice of settings, brought into the shape every question can
 * ask: make a store, fill it with jobs, and carry them out. The harness owns the clock, the
 * databases and the bookkeeping, so that no system measures itself.
 *
 * ```text
 *   prepare ──▶ fill ──▶ (vacuum, checkpoint) ──▶ drain ───────────▶ unfinished? ──▶ close
 *                                              clock starts        no: clock stops
 * ```
 */
import type { Effect, Scope } from "effect"
import type { Witness } from "./Witness.ts"

/** What the jobs of one trial look like. */
export interface Load {
  readonly jobs: number
  /** Where jobs wait: queues, task identifiers or lanes, whatever the system calls them. */
  readonly lanes: number
  /** Priorities within a lane; level 0 goes first. */
  readonly levels: number
  readonly blocking?: Blocking
  readonly beside?: Beside
}

/** So many jobs of each kind are in the store, and none of them is to be carried out. */
export interface Beside {
  readonly finished: number
  readonly future: number
  /** Each waits for another one of its key. */
  readonly blocked: number
}

/** Triggers that are due together, each for one job. */
export interface Bells {
  readonly triggers: number
  /** At each full minute, at each full second, or months from now. */
  readonly rule: "minute" | "second" | "asleep"
}

/** How jobs of the same key stand in each other's way. Job `n` has the key `n % keys`. */
export type Blocking =
  | { readonly policy: "fifo"; readonly keys: number }
  | {
    readonly policy: "concurrent"
    readonly keys: number
    readonly places: number
  }

/** Where a system may keep its things during one trial; both are empty and its own. */
export interface Place {
  readonly databaseUrl: string
  readonly folder: string
}

export interface System {
  readonly name: string
  readonly version: string
  /** Which settings these are: `best`, `defaults`, `limit`, … */
  readonly settings: string
  readonly store: "postgres" | "sqlite"
  /** What a reader must know to compare fairly. */
  readonly note?: string
  /** A slow system gets fewer jobs: rates are rates, and a table should come today. */
  readonly jobsAtMost?: number
  /** The reason why this system cannot offer the load, or nothing when it can. */
  readonly refuses: (load: Load) => string | undefined
  /** Creates the schema and opens what `drain` needs. The scope's end is the system's `close`. */
  readonly prepare: (
    place: Place,
  ) => Effect.Effect<Prepared, unknown, Scope.Scope>
}

export interface Prepared {
  /** Stores the jobs of the load, all ready now, with `payloadOf(n, load)` for `n` from 0. */
  readonly fill: (load: Load) => Effect.Effect<void, unknown>
  /**
   * Works until the store is empty, or starts workers in its scope and returns. Each job calls
   * `witness.begin` and `witness.end` with its payload, which is all a handler does. The harness
   * runs it in a fiber; the scope's end stops the workers, off the clock.
   */
  readonly drain: (
    witness: Witness,
  ) => Effect.Effect<void, unknown, Scope.Scope>
  /** Puts these into the store, beside which `fill` and `drain` are then asked. */
  readonly surround?: (beside: Beside) => Effect.Effect<void, unknown>
  /**
   * Keeps these triggers and carries out what they fire until the scope ends; `rung` is told, where
   * a handler would start, whose job it is. Answers once all are kept.
   */
  readonly ring?: (
    bells: Bells,
    rung: (trigger: number) => void,
  ) => Effect.Effect<void, unknown, Scope.Scope>
  /**
   * Joins as an executor that takes so many jobs of one lane at a time. Each `take` is one claim;
   * `putBack` ends what was taken, and stores as many new ones.
   */
  readonly taking?: (count: number) => Effect.Effect<Taking, unknown, Scope.Scope>
  /** Whether the store still holds a job of the load. Asked after the last handler. */
  readonly unfinished: Effect.Effect<boolean, unknown>
}

export interface Taking {
  readonly take: Effect.Effect<void, unknown>
  readonly putBack: Effect.Effect<void, unknown>
}

/** The payload of a job: 100 bytes of JSON that tell the witness which job it is. */
export interface Payload {
  readonly n: number
  readonly key: number
  readonly pad: string
}

export const laneOf = (n: number, load: Load): number => n % load.lanes

export const levelOf = (n: number, load: Load): number => Math.floor(n / load.lanes) % load.levels

export const keyOf = (n: number, load: Load): number => n % (load.blocking?.keys ?? 1)

export const payloadOf = (n: number, load: Load): Payload => {
  const bare = { n, key: keyOf(n, load), pad: "" }
  return { ...bare, pad: "x".repeat(100 - JSON.stringify(bare).length) }
}

/** The numbers of all jobs, in batches that fit one statement. */
export const batches = (
  load: Load,
  size = 5_000,
): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: Math.ceil(load.jobs / size) }, (_, batch) => {
    const from = batch * size
    return Array.from(
      { length: Math.min(size, load.jobs - from) },
      (_, i) => from + i,
    )
  })

export const loadName = (load: Load): string => {
  const { beside, blocking } = load
  if (beside !== undefined) {
    const { blocked, finished, future } = beside
    return [`${finished} finished`, `${future} future`, `${blocked} blocked`].join(", ")
      .replaceAll("000000 ", "M ").replaceAll("000 ", "k ")
  }
  if (blocking === undefined) {
    return load.lanes === 1 && load.levels === 1
      ? "1 lane"
      : `${load.lanes} lanes × ${load.levels} levels`
  }
  const keys = `${blocking.keys.toLocaleString("en")} ${blocking.keys === 1 ? "key" : "keys"}`
  return blocking.policy === "fifo" ? `fifo, ${keys}` : `concurrent(${blocking.places}), ${keys}`
}

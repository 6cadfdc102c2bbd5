/**
 * Keeps what runs say of themselves: their progress, and the lines of their log.
 *
 * - **N1 newest.** Only who holds a run says how far it has come. The highest fence counts, and of
 *   one grant the highest sequence: what is older changes nothing, whenever it comes.
 * - **N2 ordered.** The lines of a run are read by fence and number, each once, however often they
 *   were appended.
 * - **N3 evidence.** Lines of a grant that has passed on, or was settled, are kept under its fence.
 *   Those of a fence that the run has not had are not.
 * - **N4 bounded.** A run has lines of at most `charsMax` characters. Further ones are left out, and
 *   whoever reads the lines is told so.
 *
 * They leave with their run (H2). A run that says nothing costs nothing here.
 */
import { type Effect, type Option, Schema } from "effect"
import type { Incarnation } from "../domain/Executor.ts"
import { Fence } from "../domain/Lease.ts"
import { type LogLine, type Place, SaidLine } from "../domain/LogLine.ts"
import { Progress } from "../domain/Progress.ts"
import { RunId } from "../domain/RunId.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

/** So much of the log of one run is kept. */
export const charsMax = 8 * 1024 * 1024
/** One `Told` has lines of at most so many characters, and at most so many lines. */
export const toldCharsMax = 65_536
export const toldLinesMax = 256

/** What a holder tells of one run since it last did. */
export const Told = Schema.Struct({
  run: RunId,
  fence: Fence,
  progress: Schema.optionalKey(Schema.Struct({
    ...Progress.fields,
    /** Rises with each word about this grant. */
    sequence: Schema.Int,
  })),
  /** The number of the first of these lines. */
  first: Schema.Int.check(Schema.isGreaterThan(0)),
  lines: Schema.Array(SaidLine).check(Schema.isMaxLength(toldLinesMax)),
})
export type Told = typeof Told.Type

/** The latest word about how far a run has come. */
export const KeptProgress = Schema.Struct({
  ...Progress.fields,
  /** The grant that said it: an earlier one than the run's is of an earlier attempt. */
  fence: Fence,
  sequence: Schema.Int,
  at: Schema.DateTimeUtc,
})
export type KeptProgress = typeof KeptProgress.Type

export interface LogQuery {
  readonly run: RunId
  /** Only lines after this one. */
  readonly after?: Place | undefined
  readonly limit: number
}

export interface LogPage {
  /** None only if there are none: a page may have fewer than asked for and not be the last. */
  readonly lines: ReadonlyArray<LogLine>
  /** The run has said more than is kept. */
  readonly isCut: boolean
}

export interface LogStorage {
  readonly append: (
    incarnation: Incarnation,
    told: ReadonlyArray<Told>,
  ) => Effect.Effect<void, StorageUnavailable>

  readonly read: (query: LogQuery) => Effect.Effect<LogPage, StorageUnavailable>

  readonly progress: (
    run: RunId,
  ) => Effect.Effect<Option.Option<KeptProgress>, StorageUnavailable>
}

/** The characters of its lines. */
export const charsOf = ({ lines }: Told): number =>
  lines.reduce((sum, { text }) => sum + text.length, 0)

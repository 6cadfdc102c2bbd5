/**
 * What a trigger tails: entries in an order of their own, read on from a position.
 *
 * A position is a text that the source alone understands. The empty one stands before all entries.
 * Whoever tails keeps the position together with what it has made of the entries, so a source has to
 * give the same again, to anybody, at any time.
 *
 * - **E1 in order.** Read on from where the last reading ended, every entry comes, and none twice.
 * - **E2 nothing late.** What appears later comes after every position that was given: an entry that
 *   is under way when others are given, as in a transaction that has not ended, is not passed by.
 * - **E3 repeatable.** Read once more from the same position, by whomever, it gives the same first.
 * - **E4 bounded.** A reading has at most `limit` entries, and says whether there was more.
 * - **E5 no silent gap.** What cannot be read, or was there and is gone, comes as an entry that says
 *   so, with a position of its own; or the reading fails.
 * - **E6 end.** Read on from the end, what was there for all to see does not come, and all that
 *   appears later does.
 */
import { type Duration, type Effect, Schema, type Scope } from "effect"

export type Entry =
  | {
    readonly position: string
    /** As JSON has it. */
    readonly value: unknown
  }
  /** There is, or was, something that cannot be read. */
  | { readonly position: string; readonly flaw: string }

export interface Reading {
  readonly entries: ReadonlyArray<Entry>
  /** Where the next reading goes on. */
  readonly to: string
  /** Nothing was left when it was read. */
  readonly isAtEnd: boolean
}

/** It cannot be read now, or not at all. Read again later; the reason is for whoever can mend it. */
export class SourceUnavailable
  extends Schema.TaggedError<SourceUnavailable>()("SourceUnavailable", {
    source: Schema.String,
    reason: Schema.String,
    remedy: Schema.optionalKey(Schema.String),
  }) {
  override get message() {
    return [`${this.source}: ${this.reason}`, this.remedy].filter((each) => each).join(". ")
  }
}

export interface Reader {
  readonly read: (after: string, limit: number) => Effect.Effect<Reading, SourceUnavailable>
  readonly end: Effect.Effect<string, SourceUnavailable>
  /** Returns when there may be more, and at the latest after so long. Without it, that is how long. */
  readonly wait?: (atMost: Duration.Duration) => Effect.Effect<void>
}

export interface Source {
  /** By which it is known wherever it is named. */
  readonly name: string
  readonly open: Effect.Effect<Reader, SourceUnavailable, Scope.Scope>
  /** So often it is looked at when it was at its end: a second unless named. */
  readonly poll?: Duration.Input
}

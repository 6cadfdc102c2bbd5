/**
 * How many runs of a task may wait, ready or at their gates, before no more are taken in. Who submits
 * then is told to come again, which is better than a queue that nobody will ever get to the end of.
 */
import { Schema } from "effect"

const count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))

export const Backlog = Schema.Struct({
  /** With so many waiting, no more are taken in. */
  high: count,
  /** They are again when there are so few; nine tenths of `high` unless named. */
  low: Schema.optionalKey(count),
}).check(Schema.makeFilter(
  ({ high, low = 0 }) => low > high ? "low is above high" : undefined,
))
export type Backlog = typeof Backlog.Type

/** Whether no more are taken in, with so many waiting; `wasFull` when that was last asked. */
export const isFull = (
  { high, low = Math.floor(high * 0.9) }: Backlog,
  wasFull: boolean,
  depth: number,
): boolean => depth >= high || wasFull && depth > low

/** Who is told of what happens to the runs of a task. */
import { Schema } from "effect"

export const AlertRule = Schema.Struct({
  on: Schema.Literals([
    "failed",
    "timed-out",
    "lost",
    "quarantined",
    "missed-deadline",
    "late-start",
    "long-running",
  ]),
  /** For `late-start` and `long-running`: by so much. */
  afterMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 31 * 86_400_000 })),
  ),
  /** The name of the channel that carries it out. */
  channel: Schema.NonEmptyString.check(Schema.isMaxLength(127)),
})
export type AlertRule = typeof AlertRule.Type

/** How many runs of a task may start within a time, over the whole cluster. */
import { Schema } from "effect"

export const RateLimit = Schema.Struct({
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
  perMillis: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 31 * 86_400_000 })),
  /** So many may start at once after a quiet time; `limit` unless named. */
  burst: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))),
})
export type RateLimit = typeof RateLimit.Type

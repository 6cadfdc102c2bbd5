/**
 * How many runs of a task may start within a time, over the whole cluster.
 *
 * What is kept is one number: the instant until which starts have been paid for, each with
 * `perMillis / limit`. It may lie so far ahead of now that `burst` starts fit between.
 */
import { Schema } from "effect"

export const RateLimit = Schema.Struct({
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
  perMillis: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 31 * 86_400_000 })),
  /** So many may start at once after a quiet time; `limit` unless named. */
  burst: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))),
})
export type RateLimit = typeof RateLimit.Type

/** What a start costs. */
const priceOf = ({ limit, perMillis }: RateLimit): number => perMillis / limit

/**
 * How far ahead of `now` starts have been paid for: never so far that a full burst would not bring
 * it about, whatever the clock was set to, or the limit was, when they were paid.
 */
const ahead = (rate: RateLimit, paidUntil: number, now: number): number =>
  Math.min(Math.max(0, paidUntil - now), (rate.burst ?? rate.limit) * priceOf(rate))

// Sums of prices that are no whole numbers miss a whole number of starts by less than this.
const hair = 1e-6

/** How many may start at `now`. */
export const available = (rate: RateLimit, paidUntil: number, now: number): number => {
  const burst = rate.burst ?? rate.limit
  return Math.floor(burst - ahead(rate, paidUntil, now) / priceOf(rate) + hair)
}

/** Until when starts have been paid for, after `count` more; fewer, if it is negative. */
export const pay = (rate: RateLimit, paidUntil: number, now: number, count: number): number =>
  now + Math.max(0, ahead(rate, paidUntil, now) + count * priceOf(rate))

/** How long until the next may start. */
export const waitMillis = (rate: RateLimit, paidUntil: number, now: number): number => {
  const burst = rate.burst ?? rate.limit
  return Math.max(0, Math.ceil(ahead(rate, paidUntil, now) - (burst - 1) * priceOf(rate) - hair))
}

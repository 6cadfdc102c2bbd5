/**
 * How many runs an executor carries out at once, and how many it holds ready besides.
 *
 * Up to `core` of them run. Further ones wait in the queue; when that is full more of them run, up to
 * `maximum`; and what does not fit then goes back.
 */
import { Schema } from "effect"

export const countMax = 100_000
const count = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

export const PoolSizes = Schema.Struct({
  core: count(1, countMax),
  maximum: count(1, countMax),
  /** Unless given: what the pool starts within `prefetchMillis`, as quick as runs are. */
  queueLength: Schema.optionalKey(count(0, 10_000)),
  prefetchMillis: count(0, 60_000),
}).check(
  Schema.makeFilter(({ core, maximum }) =>
    core <= maximum
      ? undefined
      : { path: ["core"], issue: `it is more than the maximum, ${maximum}` }
  ),
)
export type PoolSizes = typeof PoolSizes.Type

/** Of a pool of which nothing is said but how many run at once. */
export const of = (concurrency: number): PoolSizes => ({
  core: concurrency,
  maximum: concurrency,
  prefetchMillis: 100,
})

/** What a plan is drawn with, from the seed. */
import { Effect, Random } from "effect"

export const between = (low: number, high: number): Effect.Effect<number> =>
  Random.nextIntBetween(low, high)

/** True in that share of all draws. */
export const chance = (share: number): Effect.Effect<boolean> =>
  Effect.map(Random.next, (drawn) => drawn < share)

export const many = <A>(count: number, one: Effect.Effect<A>): Effect.Effect<ReadonlyArray<A>> =>
  Effect.forEach(Array.from({ length: count }), () => one)

export const oneOf = <A>(all: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(between(0, all.length - 1), (at) => all[at]!)

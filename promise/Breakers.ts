/** What a program of promises does with circuit breakers. */
import { DateTime, Effect } from "effect"
import type { Words } from "../core/domain/Asked.ts"
import type { BreakerView, Order, Settings } from "../core/domain/Breaker.ts"
import {
  type BreakerOptions,
  type BreakerRef,
  Breakers as CoreBreakers,
} from "../core/engine/Breakers.ts"
import { type Call, dateOf } from "./call.ts"

/** A breaker as others see it. */
export interface Breaker {
  readonly name: string
  /** Of a breaker by key. */
  readonly key: string | undefined
  readonly state: BreakerView["state"]
  readonly since: Date
  /** When it tries next, if it is open and nobody holds it so. */
  readonly until: Date | undefined
  /** Why it opened. */
  readonly cause: string | undefined
  /** Within its window, or among its probes. */
  readonly calls: number
  readonly bad: number
  readonly settings: Settings
  /** What was ordered by hand, if it was. */
  readonly order: Words & { readonly to: Order["to"]; readonly at: Date } | undefined
}

export interface Breakers {
  readonly list: () => Promise<ReadonlyArray<Breaker>>
  readonly show: (breaker: BreakerRef) => Promise<Breaker>
  /** The keys of a breaker of which something bad is known, or that have an order of their own. */
  readonly keys: (name: string) => Promise<ReadonlyArray<Breaker>>
  /** What is not named is as usual. */
  readonly set: (name: string, options: BreakerOptions) => Promise<Breaker>
  /**
   * `auto` takes an order back: it opens and closes by its calls again. An order of the name is for all
   * keys that have none of their own.
   */
  readonly order: (
    breaker: BreakerRef,
    to: Order["to"] | "auto",
    words?: Words,
  ) => Promise<Breaker>
}

export const breakersOver = (call: Call): Breakers => {
  const one = <E>(use: (breakers: CoreBreakers["Service"]) => Effect.Effect<BreakerView, E>) =>
    call(Effect.map(CoreBreakers.use(use), breakerOf))

  const several = <E>(
    use: (breakers: CoreBreakers["Service"]) => Effect.Effect<ReadonlyArray<BreakerView>, E>,
  ) => call(Effect.map(CoreBreakers.use(use), (views) => views.map(breakerOf)))

  return {
    list: () => several(({ list }) => list()),
    show: (breaker) => one(({ find }) => find(breaker)),
    keys: (name) => several(({ keys }) => keys(name)),
    set: (name, options) => one(({ set }) => set(name, options)),
    order: (breaker, to, words) => one(({ order }) => order(breaker, to, words)),
  }
}

const breakerOf = (
  { bad, calls, cause, key, name, order, settings, since, state, until }: BreakerView,
): Breaker => ({
  name,
  key,
  state,
  since: DateTime.toDateUtc(since),
  until: dateOf(until),
  cause,
  calls,
  bad,
  settings,
  order: order && { ...order, at: DateTime.toDateUtc(order.at) },
})

/**
 * Which of the executors that serve a task a run goes to. `Placement` carries each strategy out, on
 * a snapshot of who is here.
 *
 * Executors have an order: by name, and under one name the newest first.
 */
import { Schema } from "effect"
import { ExecutorName } from "./Executor.ts"

export const shardsMax = 1000

export const Routing = Schema.TaggedUnion({
  /** Whoever has a free place first takes it. */
  Any: {},
  First: {},
  Last: {},
  /** While it is away the run waits for it, or has failed. */
  Fixed: {
    executor: ExecutorName,
    whenAway: Schema.optionalKey(Schema.Literals(["wait", "fail"])),
  },
  /** Each in turn. */
  RoundRobin: {},
  Random: {},
  /** The one with the smallest share of its places taken. */
  LeastLoaded: {},
  /** The one that has the most to spare of what the run needs. */
  ResourceAware: {},
  /** The same one for the same key, whoever else comes and goes. */
  ConsistentHash: {},
  LeastRecentlyUsed: {},
  LeastFrequentlyUsed: {},
  /** The first of these that is here; those not named come after, in their order. */
  Failover: {
    order: Schema.optionalKey(Schema.Array(ExecutorName).check(Schema.isMaxLength(64))),
  },
  /** The first that has a free place. */
  BusyOver: {},
  /** Every one, each with a run of its own. */
  Broadcast: {},
  /** `count` slices, spread evenly. */
  Sharded: { count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: shardsMax })) },
})
export type Routing = typeof Routing.Type

export const any: Routing = { _tag: "Any" }
export const first: Routing = { _tag: "First" }
export const last: Routing = { _tag: "Last" }
export const roundRobin: Routing = { _tag: "RoundRobin" }
export const random: Routing = { _tag: "Random" }
export const leastLoaded: Routing = { _tag: "LeastLoaded" }
export const resourceAware: Routing = { _tag: "ResourceAware" }
export const consistentHash: Routing = { _tag: "ConsistentHash" }
export const leastRecentlyUsed: Routing = { _tag: "LeastRecentlyUsed" }
export const leastFrequentlyUsed: Routing = { _tag: "LeastFrequentlyUsed" }
export const busyOver: Routing = { _tag: "BusyOver" }
export const broadcast: Routing = { _tag: "Broadcast" }

/** The executor of this name alone; `fail`: while it is away, runs have failed. */
export const fixed = (executor: string, whenAway: "wait" | "fail" = "wait"): Routing => ({
  _tag: "Fixed",
  executor: ExecutorName.make(executor),
  ...(whenAway === "fail" && { whenAway }),
})

/** The first of these that is here; after them the others, by name. */
export const failover = (...order: ReadonlyArray<string>): Routing => ({
  _tag: "Failover",
  order: order.map((name) => ExecutorName.make(name)),
})

export const sharded = (count: number): Routing => ({ _tag: "Sharded", count })

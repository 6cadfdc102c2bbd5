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

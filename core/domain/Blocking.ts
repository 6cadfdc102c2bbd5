/**
 * What a run does when others of its kind are under way.
 *
 * `fifo` waits its turn, `concurrent` waits for one of `limit` places, `discard` ends at once.
 * `latest` waits as `fifo` does, and only the latest of those that wait is kept; `replace` also asks
 * the one under way to stop. `fair` waits for one of `limit` places that all keys of the task have in
 * common, and the keys take turns by their weights. It holds for the whole cluster, and within a scope: all runs of the
 * task, or those with equal key. A run under such a policy passes a gate before it becomes ready.
 */
import { Schema } from "effect"
import * as Lane from "./Lane.ts"
import type { Namespace } from "./Namespace.ts"
import * as RunId from "./RunId.ts"
import type { TaskName } from "./Task.ts"
import * as Text from "./Text.ts"

export const Blocking = Schema.TaggedUnion({
  Fifo: {},
  Discard: {},
  Concurrent: { limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })) },
  /** The one under way is cancelled, and the new one takes its place. */
  Replace: {},
  /** One at a time; of those that wait only the latest is kept. */
  Latest: {},
  /** `limit` of all keys at a time; a key without a weight has 1. */
  Fair: {
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })),
    weights: Schema.optionalKey(
      Schema.Record(
        Schema.String.check(Schema.isMaxLength(512)),
        Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })),
      ),
    ),
  },
})
export type Blocking = typeof Blocking.Type
export type Fair = Extract<Blocking, { readonly _tag: "Fair" }>
/** Each gate has places of its own. */
export type Separate = Exclude<Blocking, Fair>

/**
 * Which runs block each other: all of the task, those of equal key, those of one executor. Those of
 * an executor pass no gate: it claims no more of them than it has places for, and decides itself
 * about what meets another there.
 */
export const Scope = Schema.Literals(["task", "key", "executor"])

/** One at a time, those of one level in order of submit, unless the task names another `Lane.Order`. */
export const fifo: Separate = { _tag: "Fifo" }

/** One at a time; what comes while it is under way ends as discarded. */
export const discard: Separate = { _tag: "Discard" }

/** One at a time; what comes asks the one under way to stop, and waits for it to end. */
export const replace: Separate = { _tag: "Replace" }

/** One at a time; of those that wait the latest is kept, the others end as discarded. */
export const latest: Separate = { _tag: "Latest" }

/** `limit` at a time; the others wait, by `order`. */
export const concurrent = (limit: number): Separate => ({ _tag: "Concurrent", limit })

/** A task has at most so many keys with a weight of their own. */
export const weightsMax = 1000

/** `limit` at a time, of all keys together; those that wait take turns, by the weights of their keys. */
export const fair = (limit: number, weights?: Readonly<Record<string, number>>): Fair => ({
  _tag: "Fair",
  limit,
  ...(weights !== undefined && { weights }),
})

export const GateKey = Schema.NonEmptyString.check(Schema.isMaxLength(1024), Text.kept).pipe(
  Schema.brand("GateKey"),
)
export type GateKey = typeof GateKey.Type

/** How a run passes: it holds one of `places` of the gate while it is under way. */
export const Gate = Schema.Struct({
  key: GateKey,
  places: Schema.Int,
  whenFull: Schema.Literals(["wait", "discard", "replace", "latest"]),
})
export type Gate = typeof Gate.Type

/** What decides about runs that block each other. */
export type Rule = Pick<Gate, "places" | "whenFull">

export const ruleOf = (blocking: Separate): Rule => ({
  places: blocking._tag === "Concurrent" ? blocking.limit : 1,
  whenFull: whenFull[blocking._tag],
})

/** The gate of a run of `task`; `key` narrows it to the runs of equal key. */
export const gate = (
  namespace: Namespace,
  task: TaskName,
  blocking: Separate,
  key: string | undefined,
): Gate => ({
  key: GateKey.make(key === undefined ? `${namespace}:${task}` : `${namespace}:${task}:${key}`),
  ...ruleOf(blocking),
})

const whenFull: Readonly<Record<Separate["_tag"], Gate["whenFull"]>> = {
  Fifo: "wait",
  Concurrent: "wait",
  Discard: "discard",
  Replace: "replace",
  Latest: "latest",
}

/** A run that comes to its gate. */
export interface Waiter {
  readonly level: Lane.Level
  /** An id of its own, made when it came to the gate; that of the run, if it came there at once. */
  readonly turn: number
  /** Of the gate, as its own policy says. */
  readonly places: number
  /** If it has one that counts: nobody has begun the run. */
  readonly deadlineAt?: number | undefined
  /** As the policy of its task names it. */
  readonly order?: Lane.Order | undefined
}

/**
 * The instant from which a run at a gate lets nobody pass who comes later: that of a lane (`Lane.rank`),
 * counted from when it came there, as its turn tells. With one place a gate is a queue, and where no
 * order is named none of its runs is passed for the sake of a deadline.
 */
export const rank = ({ deadlineAt, level, order, places, turn }: Waiter): number => {
  const own = order ?? (places > 1 ? undefined : "age")
  return Lane.rank(RunId.millisOf(turn as RunId.RunId), level, deadlineAt, own)
}

/** The rank of one whose deadline does not count. */
export const rankByAge = ({ level, turn }: Pick<Waiter, "level" | "turn">): number =>
  rank({ level, turn, places: 1 })

/** Where a run stands among those that wait at its gate. */
export interface Place extends Pick<Waiter, "turn"> {
  readonly rank: number
}

/**
 * Negative when `a` passes before `b`. A better level goes first until the worse one has waited for as
 * much longer as it has more patience, so nobody waits for ever; one level goes in the order in which
 * its runs came, whatever is done to the clock, but for those whose deadlines count. A gate knows a
 * level by its patience alone: who must begin sooner than that ends goes before better levels, too.
 * Where runs of several tasks meet, each has its rank by the order of its own.
 */
export const order = (a: Place, b: Place): number => a.rank - b.rank || a.turn - b.turn

/** Of those that wait at such a gate only the latest is kept. */
export const keepsLatest = ({ whenFull }: Pick<Gate, "whenFull">): boolean =>
  whenFull === "replace" || whenFull === "latest"

/**
 * What a gate decides about a waiting run, given how many runs hold a place: about its first, and
 * where only the latest is kept, about each. `replace`: the holders are asked to stop, and it waits.
 */
export const decide = (
  rule: Rule,
  holders: number,
  isLatest = true,
): "admit" | "wait" | "discard" | "replace" => {
  if (keepsLatest(rule) && !isLatest) return "discard"
  if (holders < rule.places) return "admit"
  return rule.whenFull === "latest" ? "wait" : rule.whenFull
}

/** Why a run is discarded that came while there was no place. */
export const busyWith = (holder: RunId.RunId) => ({
  tag: "Discarded",
  message: `busy with run ${holder}`,
})

/** Why a run has ended that another one took the place of. */
export const replacedBy = (run: RunId.RunId) => ({
  tag: "Replaced",
  message: `replaced by run ${run}`,
})

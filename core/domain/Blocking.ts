/**
 * What a run does when others of its kind are under way.
 *
 * `fifo` waits its turn, `concurrent` waits for one of `limit` places, `discard` ends at once. It
 * holds for the whole cluster, and within a scope: all runs of the task, or those with equal key.
 * A run under such a policy passes a gate before it becomes ready.
 */
import { Schema } from "effect"
import type { Namespace } from "./Namespace.ts"
import type { TaskName } from "./Task.ts"

export const Blocking = Schema.TaggedUnion({
  Fifo: {},
  Discard: {},
  Concurrent: { limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })) },
  /** The one under way is cancelled, and the new one takes its place. */
  Replace: {},
  /** One at a time; of those that wait only the latest is kept. */
  Latest: {},
})
export type Blocking = typeof Blocking.Type

/** Which runs block each other: all of the task, those of equal key, those of one executor. */
export const Scope = Schema.Literals(["task", "key", "executor"])

/** One at a time, in order of submit. */
export const fifo: Blocking = { _tag: "Fifo" }

/** One at a time; what comes while it is under way ends as discarded. */
export const discard: Blocking = { _tag: "Discard" }

/** `limit` at a time; the others wait, better levels first. */
export const concurrent = (limit: number): Blocking => ({ _tag: "Concurrent", limit })

export const GateKey = Schema.NonEmptyString.check(Schema.isMaxLength(1024)).pipe(
  Schema.brand("GateKey"),
)
export type GateKey = typeof GateKey.Type

/** How a run passes: it holds one of `places` of the gate while it is under way. */
export const Gate = Schema.Struct({
  key: GateKey,
  places: Schema.Int,
  whenFull: Schema.Literals(["wait", "discard"]),
})
export type Gate = typeof Gate.Type

/** The gate of a run of `task`; `key` narrows it to the runs of equal key. */
export const gate = (
  namespace: Namespace,
  task: TaskName,
  blocking: Blocking,
  key: string | undefined,
): Gate => ({
  key: GateKey.make(key === undefined ? `${namespace}:${task}` : `${namespace}:${task}:${key}`),
  places: blocking._tag === "Concurrent" ? blocking.limit : 1,
  whenFull: blocking._tag === "Discard" ? "discard" : "wait",
})

/** What a gate decides about its first waiting run, given how many runs hold a place. */
export const decide = (gate: Gate, holders: number): "admit" | "wait" | "discard" =>
  holders < gate.places ? "admit" : gate.whenFull

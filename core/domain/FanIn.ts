/**
 * A parent is a run that stands for its children: the shards of one payload, or a copy for each of
 * several executors. It is submitted with them in one step, and ends when the last of them has.
 *
 * The fan-in is a gate. Children pass it one by one, so many at a time as it has places, and the
 * parent ends behind the last: decided by `admit` under the gate's lock, from rows, so that two last
 * children that end at once cannot both look away.
 */
import { Schema } from "effect"
import { type Gate, GateKey } from "./Blocking.ts"
import { Final, type StateName } from "./Run.ts"
import { RunId, RunIdFromString } from "./RunId.ts"

/** A parent has at most so many children. */
export const childrenMax = 1000

/** Which of a parent's children a run is. */
export const Shard = Schema.Struct({
  parent: RunIdFromString,
  /** From `0`. */
  index: Schema.Int,
  count: Schema.Int,
})
export type Shard = typeof Shard.Type

/** How the keys of such gates begin. No namespace is empty, so no other begins with a colon. */
export const prefix = ":children of "

/** The gate that the children of `parent` pass, `places` at a time. */
export const gate = (parent: RunId, places: number): Gate => ({
  key: GateKey.make(`${prefix}${parent}`),
  places,
  whenFull: "wait",
})

/** The parent whose fan-in the gate is. */
export const parentOf = (key: GateKey): RunId | undefined =>
  key.startsWith(prefix) ? RunId.make(Number(key.slice(prefix.length))) : undefined

/**
 * The idempotency key of a child, which is its own in every attempt. It tells that the run may be a
 * child; whether it is, only its row does.
 */
export const keyOf = ({ count, index, parent }: Shard): string => `${parent}.${index}/${count}`

export const mayBeKey = (idempotencyKey: string): boolean =>
  /^\d{1,16}\.\d{1,4}\/\d{1,4}$/.test(idempotencyKey)

export type Verdict = Extract<Final, "Succeeded" | "Failed" | "Cancelled">

/** How a parent ends whose children have ended so: all must succeed. */
export const verdict = (children: Iterable<StateName>): Verdict => {
  let isCancelled = false
  for (const state of children) {
    if (state === "Cancelled") isCancelled = true
    else if (state !== "Succeeded") return "Failed"
  }
  return isCancelled ? "Cancelled" : "Succeeded"
}

/** Why a parent has failed. */
export const failureOf = (unsuccessful: number, count: number) => ({
  tag: "ChildrenFailed",
  message: `${unsuccessful} of ${count} children did not succeed`,
})

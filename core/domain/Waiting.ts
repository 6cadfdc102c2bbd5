/**
 * Where a run of a task waits, as its policy has it: at which gate first, and then in which lane.
 *
 * A routed run has a gate in any case, be it one that is always open: what ends or gives a place back
 * is known by its gate, and that is when those that wait to be placed are looked at again.
 */
import * as Blocking from "./Blocking.ts"
import { type Gate, GateKey } from "./Blocking.ts"
import * as Group from "./Group.ts"
import * as Lane from "./Lane.ts"
import type { Namespace } from "./Namespace.ts"
import { isForAny, type Policy } from "./Policy.ts"
import type { Routing } from "./Routing.ts"
import * as Share from "./Share.ts"
import type { TaskName } from "./TaskName.ts"
import * as Touching from "./Touching.ts"

/** What needs something of its executor goes to the one that has the most of it, unless told. */
export const routingOf = ({ resources, routing }: Policy): Routing =>
  routing ?? (resources === undefined ? { _tag: "Any" } : { _tag: "ResourceAware" })

/** Whether each of its runs is placed with one executor. */
export const isRouted = (policy: Policy): boolean => !isForAny(policy)

export interface Place {
  readonly lane: Lane.Lane
  readonly gate: Gate | undefined
}

/** `key` narrows the gate of a task that blocks by key, and chooses by consistent hash. */
export const place = (
  namespace: Namespace,
  task: TaskName,
  policy: Policy,
  key: string | undefined,
): Place => {
  const { blockingScope, group, selector, touches } = policy
  const blocking = blockingScope === "executor" ? undefined : policy.blocking
  const lane = isRouted(policy)
    ? Lane.unplaced(namespace, task)
    : Lane.ofTask(namespace, task, selector)
  if (blocking?._tag === "Fair") return { lane, gate: Share.gate(namespace, task, blocking, key) }
  if (blocking !== undefined) {
    const within = blockingScope === "task" ? undefined : key
    return { lane, gate: Blocking.gate(namespace, task, blocking, within) }
  }
  if (touches !== undefined && Object.keys(touches).length > 0) {
    return { lane, gate: Touching.gate(namespace, touches) }
  }
  if (Group.isLimited(group)) return { lane, gate: Group.gate(namespace, group) }
  return { lane, gate: isRouted(policy) ? open(lane, key) : undefined }
}

const always = 1_000_000_000

const open = (lane: Lane.Lane, key: string | undefined): Gate => ({
  key: GateKey.make(key === undefined ? lane : `${lane}:${key}`),
  places: always,
  whenFull: "wait",
})

const named = /^([^:]+:[^:@]+)(@?)(?::(.*))?$/s

/** The key that a gate was narrowed to. */
export const keyOf = (gate: GateKey): string | undefined =>
  Share.isGate(gate) ? Share.keyOf(gate) : named.exec(gate)?.[3]

/** The lane of runs that wait to be placed, of whom one gave its place of the gate back. */
export const unplacedOf = (gate: GateKey): Lane.Lane | undefined => {
  const parts = named.exec(gate)
  return parts?.[2] === "@" ? Lane.Lane.make(`${parts[1]}@`) : undefined
}

/**
 * Fair shares: the runs of a task wait in a queue for each key, and of the places that there are for
 * all of them each queue gets what its weight says.
 *
 * This is start-time fair queueing. A queue in which runs wait has a *tag*, the virtual time at which
 * its next one goes; the lowest goes first, and its tag moves on by the reverse of its weight. Virtual
 * time is the lowest tag of those in which runs wait. A queue that comes begins there, so it owes
 * nothing and is owed nothing for the time before, whatever others have submitted. One that ran empty
 * keeps a tag ahead of virtual time, lest it come back at once and go twice; when virtual time has
 * reached it, it is forgotten.
 *
 * Each queue is a gate, whose key tells task, weight and key of its runs; the gates of a task have
 * their places in common, and are decided about together.
 */
import { type Fair, type Gate, GateKey } from "./Blocking.ts"
import type { Namespace } from "./Namespace.ts"
import type { TaskName } from "./TaskName.ts"

/** How the keys of such gates begin. No namespace is empty, so no other begins with a colon. */
export const prefix = ":share "

export const gate = (
  namespace: Namespace,
  task: TaskName,
  { limit, weights = {} }: Fair,
  key = "",
): Gate => {
  const weight = Object.hasOwn(weights, key) ? weights[key]! : 1
  return {
    key: GateKey.make(`${prefix}${namespace}:${task} ${weight} ${key}`),
    places: limit,
    whenFull: "wait",
  }
}

export const isGate = (key: string): boolean => key.startsWith(prefix)

/** How the keys of all such gates of its task begin. */
export const poolOf = (key: GateKey): string => key.slice(0, key.indexOf(" ", prefix.length) + 1)

const rest = (key: GateKey): string => key.slice(poolOf(key).length)

/** What the runs of such a gate have in common. */
export const keyOf = (key: GateKey): string => rest(key).slice(rest(key).indexOf(" ") + 1)

/** Of virtual time, for a run of weight 1. */
const whole = 1_000_000

/** By how much virtual time the gate moves on with each run. */
export const costOf = (key: GateKey): number => Math.floor(whole / Number.parseInt(rest(key), 10))

export interface Queue {
  readonly gate: GateKey
  readonly tag: number
  /** Of equal tags the lower goes first: the turn of the run it began with. */
  readonly turn: number
}

/** The queues of one task, as an adapter keeps them. */
export interface Queues<Run> {
  /** The first by tag and turn, also if nobody waits in it. */
  readonly first: () => Queue | undefined
  readonly has: (gate: GateKey) => boolean
  readonly put: (queue: Queue) => void
  readonly forget: (gate: GateKey) => void
  /** Its first run. */
  readonly waiting: (gate: GateKey) =>
    | { readonly run: Run; readonly turn: number; readonly places: number }
    | undefined
}

/** Lets at most `most` runs pass, in order. `named`: gates at which runs may wait that nobody knows. */
export const admit = <Run>(
  queues: Queues<Run>,
  named: Iterable<GateKey>,
  held: number,
  most: number,
  pass: (run: Run) => void,
): void => {
  /** Virtual time has come to it. */
  const next = () => {
    for (;;) {
      const queue = queues.first()
      const waiting = queue && queues.waiting(queue.gate)
      if (queue === undefined || waiting !== undefined) return queue && { queue, waiting: waiting! }
      queues.forget(queue.gate)
    }
  }
  const tag = next()?.queue.tag ?? 0
  for (const gate of named) {
    const waiting = queues.has(gate) ? undefined : queues.waiting(gate)
    if (waiting !== undefined) queues.put({ gate, tag, turn: waiting.turn })
  }
  for (let passed = 0; passed < most; passed++) {
    const found = next()
    if (found === undefined || held + passed >= found.waiting.places) return
    const { queue, waiting } = found
    queues.put({ ...queue, tag: queue.tag + costOf(queue.gate) })
    pass(waiting.run)
  }
}

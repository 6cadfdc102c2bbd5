/**
 * Things outside that runs use, alone or beside others: a database, a device, an account.
 *
 * A run that touches some passes a gate named by them, and takes them all in one decision or waits
 * for all: so no two runs can wait for each other. They are taken in the order in which runs came,
 * whatever their level: what waits keeps those who come later from what it waits for, so one that
 * wants a thing alone is not passed by for ever by those that share it. Runs that have nothing in
 * common do not hold each other up.
 */
import { type Gate, GateKey } from "./Blocking.ts"
import type { Namespace } from "./Namespace.ts"
import type { Touches } from "./Resources.ts"

/** A run touches at most so many things, so that its gate can be named by them. */
export const thingsMax = 12

/** How the keys of such gates begin. No namespace is empty, so no other begins with a colon. */
export const prefix = ":touching "

/** As many as like share a thing, and give it back while they are suspended. */
const many = 100_000

export const gate = (namespace: Namespace, touches: Touches): Gate => {
  const names = Object.keys(touches).sort()
  return {
    key: GateKey.make(
      `${prefix}${namespace} ${names.map((name) => `${name}=${touches[name]}`).join(",")}`,
    ),
    places: names.some((name) => touches[name] === "exclusive") ? 1 : many,
    whenFull: "wait",
  }
}

/** What the runs of such a gate touch. */
export const touchesOf = (
  key: GateKey,
): { readonly namespace: Namespace; readonly touches: Touches } => {
  const [namespace, things] = key.slice(prefix.length).split(" ")
  return {
    namespace: namespace as Namespace,
    touches: Object.fromEntries(things!.split(",").map((thing) => thing.split("="))) as Touches,
  }
}

export const isGate = (key: string): boolean => key.startsWith(prefix)

/** How the keys of all such gates of a namespace begin: they are decided about together. */
export const prefixOf = (namespace: Namespace): string => `${prefix}${namespace} `

/** What is taken, and what those who waited first are about to take. */
export class Taken {
  private readonly alone = new Set<string>()
  private readonly beside = new Set<string>()

  /** Whether they could all be had, were they not taken now. */
  take(touches: Touches): boolean {
    const entries = Object.entries(touches)
    const isFree = entries.every(([thing, how]) =>
      !this.alone.has(thing) && (how === "shared" || !this.beside.has(thing))
    )
    for (const [thing, how] of entries) (how === "shared" ? this.beside : this.alone).add(thing)
    return isFree
  }
}

/** Whether runs of these gates cannot both be past them. */
export const areOpposed = (a: GateKey, b: GateKey): boolean => {
  const taken = new Taken()
  taken.take(touchesOf(a).touches)
  return !taken.take(touchesOf(b).touches)
}

/**
 * The places that one executor has for runs of a task. It takes them as they are granted and gives
 * them back as their reports are answered, so that by the ledger too no two share one.
 */
import type { Fence } from "./Lease.ts"
import type { RunId } from "./RunId.ts"

/** One grant of a run. */
export interface Held {
  readonly run: RunId
  readonly fence: Fence
}

/** A run may be granted to one executor again: two grants are told apart by their fences. */
export const nameOf = ({ fence, run }: Held): string => `${run}:${fence}`

/** Of the grants that took a place, each once, those that the executor still answers for. */
export const taken = (
  grants: ReadonlyArray<Held>,
  known: ReadonlyArray<Held>,
): ReadonlyArray<Held> => {
  const still = new Set(known.map(nameOf))
  return grants.filter((grant) => still.delete(nameOf(grant)))
}

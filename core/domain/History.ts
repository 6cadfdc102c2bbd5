/**
 * What has happened to a run, in the order in which it did: its submit, what its journal says, its
 * grants and its end.
 *
 * The journal has what is not told by where a run stands. It is written in the order of what happens,
 * but for grants: one is an entry of its own only when it is over and the run goes on, so it is put
 * before all else that has its fence. Instants play no part in that, since many happen in one, and a
 * clock may be set.
 */
import { DateTime } from "effect"
import type { Holder } from "./Executor.ts"
import { type Fence, never } from "./Lease.ts"
import type { RunHappening } from "./RunView.ts"

/** A happening as it is kept. Whatever of a grant is told may say who had it. */
export interface Entry extends Omit<RunHappening, "at"> {
  readonly at: number
}

/** What the rows of a run say besides its journal. */
export interface Told {
  readonly createdAt: number
  readonly attempt: number
  readonly fence: Fence
  /** Of the latest grant, while it is kept. */
  readonly claimedAt: number | undefined
  readonly executor?: Holder | undefined
  readonly end: { readonly at: number; readonly kind: string; readonly detail?: string } | undefined
}

export const of = (
  { attempt, claimedAt, createdAt, end, executor, fence }: Told,
  journal: ReadonlyArray<Entry>,
): ReadonlyArray<RunHappening> => {
  const grants = journal.filter(isGrant)
  if (claimedAt !== undefined && !grants.some((grant) => grant.fence === fence)) {
    grants.push({ at: claimedAt, kind: "Claimed", attempt, fence })
  }
  const others = journal.filter((entry) => !isGrant(entry))
  if (end !== undefined) {
    // Who did not know of it has reported after it.
    const last = others.findLastIndex(({ at, kind }) => kind !== "LateReport" || at <= end.at)
    others.splice(last + 1, 0, { ...end, attempt, fence })
  }
  const untold = grants.sort((a, b) => b.fence - a.fence)
  const happened: Array<Entry> = [{ at: createdAt, kind: "Submitted", attempt: 0, fence: never }]
  for (const entry of others) {
    // One that came late names the fence of a grant that may be long over.
    while (
      entry.kind !== "LateReport" && untold.length > 0 && untold.at(-1)!.fence <= entry.fence
    ) {
      happened.push(untold.pop()!)
    }
    happened.push(entry)
  }
  const holders = new Map(executor === undefined ? [] : [[fence, executor]])
  for (const { executor, fence } of journal) {
    if (executor !== undefined) holders.set(fence, executor)
  }
  return [...happened, ...untold.reverse()].map(({ at, executor: _, ...entry }) => {
    const holder = isGrant(entry) ? holders.get(entry.fence) : undefined
    return {
      ...entry,
      at: DateTime.makeUnsafe(at),
      ...(holder !== undefined && { executor: holder }),
    }
  })
}

const isGrant = ({ kind }: Pick<Entry, "kind">): boolean => kind === "Claimed"

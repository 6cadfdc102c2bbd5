/** Runs that stand for others. */
import { millis } from "../Kept.ts"
import type { Kept } from "../Kept.ts"
import type { Outcome } from "../Outcome.ts"
import { policyOf, shardsByHand } from "../tasks.ts"
import { ttlMillis } from "../times.ts"
import type { Checker } from "./Invariant.ts"

const families = ({ runs }: Kept) =>
  Map.groupBy(
    [...runs.values()].filter(({ shard }) => shard !== undefined),
    ({ shard }) => shard!.parent,
  )

/** A parent ends with the last of its children, and as they did. */
export const I14: Checker = ({ kept }, that) => {
  for (const [id, children] of families(kept)) {
    const parent = kept.runs.get(id)
    that(parent !== undefined, () => `run ${id} is gone, and its children are not`)
    if (parent?.finishedAt === undefined) continue
    const last = Math.max(
      ...children.map(({ finishedAt }) => finishedAt === undefined ? Infinity : millis(finishedAt)),
    )
    that(last <= millis(parent.finishedAt), () => `run ${id} has ended before its last child`)
    const states = new Set(children.map(({ state }) => state))
    const isFailed = [...states].some((state) => state !== "Succeeded" && state !== "Cancelled")
    const expected = isFailed ? "Failed" : states.has("Cancelled") ? "Cancelled" : "Succeeded"
    that(
      parent.state === expected,
      () => `run ${id} is ${parent.state}, and its children are ${[...states].join(", ")}`,
    )
  }
}

/** How many executors are there at an instant, if all is well and nobody comes or goes. */
const executorsAt = ({ calmFrom, ledger }: Outcome, at: number): number | undefined => {
  if (at < calmFrom) return undefined
  const here = ledger.of("beat").filter((beat) =>
    beat.isAlive && Math.abs(beat.at - at) < ttlMillis
  )
  return new Set(here.map(({ incarnation }) => incarnation)).size
}

/** There is one child of each number, as many as were asked for; of those for every executor, each is another's. */
export const I15: Checker = (outcome, that) => {
  const { kept, ledger } = outcome
  const granted = Map.groupBy(ledger.of("granted"), ({ run }) => run)
  for (const [id, children] of families(kept)) {
    const { shard, task } = children[0]!
    const { routing } = policyOf(task)
    const count = routing?._tag === "Sharded"
      ? routing.count
      : routing?._tag === "Broadcast"
      ? executorsAt(outcome, millis(children[0]!.createdAt)) ?? shard!.count
      : shardsByHand
    const indices = new Set(children.map(({ shard }) => shard!.index))
    that(
      children.length === count && indices.size === count &&
        [...indices].every((index) => index >= 0 && index < count),
      () =>
        `run ${id} has ${children.length} children of ${indices.size} numbers, and not ${count}`,
    )
    if (children[0]!.task !== "everywhere") continue
    const by = children.flatMap(({ id }) => granted.get(id)?.at(0)?.incarnation ?? [])
    that(new Set(by).size === by.length, () => `of run ${id} one executor had two children`)
    for (const child of children) {
      const holders = new Set(granted.get(child.id)?.map(({ incarnation }) => incarnation))
      that(holders.size <= 1, () => `run ${child.id} is for one executor, and went to others`)
    }
  }
}

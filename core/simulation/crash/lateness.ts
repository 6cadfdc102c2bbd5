/**
 * How much later than otherwise something may end, because a call was hit: no later than it takes those who
 * are there for it to notice, and to do again what was not done.
 *
 * It is made of what they say of themselves, and of how long what is done again takes, so that an end which
 * comes by a net that hangs lower, such as a lease that runs out while its holder lives, is too late.
 *
 * - A call that fails, or of which nobody knows, is made again after a pause by whoever made it: a loop of the
 *   server, or an executor, whose pause is shorter. What comes of it takes no more calls than the whole path.
 * - A server that dies is back soon. It looks at all there is when it begins, and executors reach for it.
 * - The runs of an executor that dies are free when its lease has run out and somebody sweeps; their work is
 *   begun again.
 * - An event that was taken from the outbox by somebody who has died is left alone for as long as it is held.
 *   So what it makes comes that much later. Who had no answer asks again.
 */
import { pauseMillisMax as againMillis } from "../../engine/answered.ts"
import { holdMillis, pollMillis } from "../../engine/Followers.ts"
import { pauseMillis } from "../../engine/Spell.ts"
import type { Path } from "./paths.ts"
import { type Fault, lateMillis, silentMillis, tripMillis } from "./Points.ts"

/** Of the lease of the executor. */
export const ttlMillis = 2000
export const sweepMillis = 500
/** Whoever dies is back after so long. */
export const backMillis = 300
/** Who reaches for a server that is not there knows it after so long. */
export const refusedMillis = 100
/** A call that was hit. */
export interface Hit {
  readonly path: Path
  /** So many calls it has when none is hit. */
  readonly calls: number
  readonly operation: string
  readonly fault: Fault
  /** Whether an event was in a hand that did nothing with it. */
  readonly isTakenAgain: boolean
}

export const isOfExecutor = (operation: string) => operation.startsWith("transport.")

/** Also what the server does for it, and fails with it. */
const isForExecutor = (operation: string) =>
  isOfExecutor(operation) ||
  /^(executors\.beat|permits\.(look|take)|runs\.(claim|conclude|depth|start))$/.test(operation)

/** Of what was asked for by this name. */
export const latenessMax = (hit: Hit, request: string): number => {
  const again = hit.calls * tripMillis
  return again + Math.max(noticed(hit), request === "echo" ? untilTakenAgain(hit) : 0)
}

const noticed = ({ fault, operation, path }: Hit): number => {
  switch (fault) {
    case "dies before":
    case "dies after":
      return isOfExecutor(operation)
        ? ttlMillis + sweepMillis + path.workMillis
        : backMillis + refusedMillis + againMillis
    case "is done late":
      return Math.max(lateMillis, silentMillis(fault) + untilRepeated(operation))
    default:
      return silentMillis(fault) + untilRepeated(operation)
  }
}

const untilRepeated = (operation: string): number =>
  isForExecutor(operation) ? againMillis : pauseMillis

const untilTakenAgain = ({ fault, isTakenAgain, operation }: Hit): number => {
  // Only for this reason.
  const isLeft = fault.startsWith("dies") && !isOfExecutor(operation)
  return isLeft && isTakenAgain ? holdMillis + pollMillis : 0
}

/**
 * Holds submits back while the backlog of their task is full.
 *
 * The backlog is counted four times a second at most, for all who submit in this process, so a full
 * one is noticed a moment late: by then it has grown by what was submitted meanwhile, which is taken
 * in and nothing is lost. Slots that fire, retries and submits from SQL are not held back.
 */
import { Clock, Effect, Random, Schema, Semaphore } from "effect"
import { type Backlog, isFull } from "../domain/Backlog.ts"
import * as Lane from "../domain/Lane.ts"
import { TaskName } from "../domain/TaskName.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"

/** So many runs of the task wait that no more are taken in. Nothing was stored. */
export class BacklogFull extends Schema.TaggedError<BacklogFull>()("BacklogFull", {
  task: TaskName,
  high: Schema.Int,
  retryAfterMillis: Schema.Int,
}) {
  override get message() {
    return `${this.high} runs or more of "${this.task}" wait already. Submit again in a while, or ` +
      "let more executors serve it"
  }
}

const countMillis = 250
/** More than anybody has tasks with a backlog; past it the oldest is counted anew. */
const lanesMax = 10_000

interface Counted {
  at: number
  isFull: boolean
  readonly turn: Semaphore.Semaphore
}

export const make = Effect.gen(function* () {
  const { executors, runs } = yield* Storage
  const lanes = new Map<Lane.Lane, Counted>()

  const of = (lane: Lane.Lane): Counted => {
    const known = lanes.get(lane)
    if (known !== undefined) return known
    const counted = { at: -Infinity, isFull: false, turn: Semaphore.makeUnsafe(1) }
    lanes.set(lane, counted)
    if (lanes.size > lanesMax) lanes.delete(lanes.keys().next().value!)
    return counted
  }

  /** All lanes in which runs wait that were submitted to this one. */
  const followed = Effect.fnUntraced(function* (lane: Lane.Lane) {
    if (!Lane.isUnplaced(lane)) return [lane]
    const { namespace, task } = Lane.taskOf(lane)
    const serving = (yield* executors.list(namespace)).filter(({ tasks }) => tasks.includes(task))
    return [
      lane,
      ...serving.map(({ incarnation }) => Lane.ofExecutor(namespace, task, incarnation)),
    ]
  })

  const look = Effect.fnUntraced(function* (lane: Lane.Lane, backlog: Backlog) {
    const counted = of(lane)
    const now = Number(yield* Clock.monotonicTimeNanos) / 1e6
    if (now - counted.at >= countMillis) {
      const depth = yield* runs.backlog(yield* followed(lane), backlog.high)
      counted.isFull = isFull(backlog, counted.isFull, depth)
      counted.at = now
    }
    return counted.isFull
  })

  const isFullNow = (lane: Lane.Lane, backlog: Backlog) =>
    of(lane).turn.withPermit(look(lane, backlog))

  /** Returns as soon as a run may be submitted, or fails where it would have to wait. */
  return Effect.fnUntraced(function* (
    task: TaskName,
    lane: Lane.Lane,
    backlog: Backlog,
    whenFull: "refuse" | "wait",
  ): Effect.fn.Return<void, BacklogFull | StorageUnavailable> {
    while (yield* isFullNow(lane, backlog)) {
      if (whenFull === "refuse") {
        return yield* new BacklogFull({ task, high: backlog.high, retryAfterMillis: 1000 })
      }
      yield* Effect.sleep(countMillis * (1 + (yield* Random.next)))
    }
  })
})

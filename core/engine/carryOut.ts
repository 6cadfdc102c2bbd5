/** What an attempt does: its handler, with what that may know of its run; and its hooks, if it has any. */
import { Duration, Effect } from "effect"
import * as Progress from "../domain/Progress.ts"
import { Refused } from "../domain/Refused.ts"
import * as Rollback from "../domain/Rollback.ts"
import { checkpointMax, type Grant } from "../services/RunStorage.ts"
import * as Attempt from "./Attempt.ts"
import type { CurrentRun } from "./CurrentRun.ts"
import type { Unsuccessful } from "./Handler.ts"
import { withHooks } from "./hooks.ts"
import { keptOf } from "./remembering.ts"
import * as Stopping from "./Stopping.ts"

export const carryOut = (
  attempt: Attempt.Attempt,
  around: Attempt.Surroundings,
): Effect.Effect<string | undefined, Unsuccessful> => {
  const { grant, handler } = attempt
  const run = contextOf(attempt, around)
  const { timeoutMillis } = handler.policy
  if (handler.hooks !== undefined || grant.conclusion !== undefined) {
    return withHooks(attempt, around, run)
  }
  const work = handler.carryOut(grant.payload, run)
  const timed = timeoutMillis === undefined
    ? work
    : Attempt.inTime(attempt, around, work, timeoutMillis)
  return handler.opening === undefined ? timed : handler.opening(run, timed)
}

/** Whether somebody asked for the rollback that it is granted for. */
const isAsked = ({ conclusion }: Grant): boolean =>
  Rollback.askedOf(conclusion?.failure) !== undefined

const contextOf = (
  attempt: Attempt.Attempt,
  around: Attempt.Surroundings,
): CurrentRun["Service"] => {
  const { grant, handler } = attempt
  const { timeoutMillis } = handler.policy
  return {
    id: grant.run,
    namespace: grant.namespace,
    task: grant.task,
    attempt: grant.attempt,
    fence: grant.fence,
    payload: grant.payload,
    slot: grant.slot,
    idempotencyKey: grant.idempotencyKey,
    shard: grant.shard,
    labels: around.labels,
    timeoutMillis,
    deadline: timeoutMillis === undefined ? undefined : around.wallClock() + timeoutMillis,
    checkpoint: grant.checkpoint,
    result: isAsked(grant) ? grant.conclusion?.result : undefined,
    keep: (checkpoint) =>
      checkpoint.length > checkpointMax ? Effect.fail(tooLong(checkpoint)) : Effect.sync(() => {
        attempt.checkpoint = checkpoint
      }),
    recall: (key) => around.recall(attempt, key),
    remember: (key, state) =>
      Effect.flatMap(Effect.fromResult(keptOf(key, state)), (kept) =>
        Effect.sync(() => {
          attempt.kept = kept
        })),
    progress: (said) =>
      Effect.sync(() => {
        around.telling(attempt).reached(Progress.of(said))
        around.said(attempt)
      }),
    say: (level, text) => {
      around.telling(attempt).say(level, text, around.now())
      around.said(attempt)
    },
    handOver: (timeout) =>
      Effect.suspend(() => {
        attempt.awaitsMillis = timeout === undefined
          ? undefined
          : Duration.toMillis(Duration.fromInputUnsafe(timeout))
        return Attempt.leave(attempt, Stopping.handOver)
      }),
  }
}

const tooLong = (checkpoint: string) =>
  new Refused({
    field: "checkpoint",
    reason: `it has ${checkpoint.length} characters, more than ${checkpointMax}`,
    remedy: "Keep the data elsewhere, and here where it is",
  })

/** A pool that tests give runs to, and nobody behind it. */
import { Clock, Context, Effect } from "effect"
import { Fence } from "../domain/Lease.ts"
import * as PoolSizes from "../domain/PoolSizes.ts"
import { standard } from "../domain/Namespace.ts"
import { RunId } from "../domain/RunId.ts"
import { TaskName, usualPolicy } from "../domain/Task.ts"
import type { Grant } from "../services/RunStorage.ts"
import type { Handler, Unsuccessful } from "./Handler.ts"
import * as Pool from "./Pool.ts"

export const task = TaskName.make("test/careful")

export const grantOf = (run: number, differently: Partial<Grant> = {}): Grant => ({
  run: RunId.make(run),
  fence: Fence.make(2),
  namespace: standard,
  task,
  attempt: 1,
  crashes: 0,
  isCareful: false,
  payload: "{}",
  ...differently,
})

export const quiet: Pool.Options = {
  sizes: PoolSizes.of(1),
  labels: {},
  stopMillis: 1000,
  mark: () => Effect.succeed(true),
  pass: () => Effect.undefined,
  conclude: () => Effect.succeed(true),
  recall: () => Effect.succeed(undefined),
  onChange: () => {},
  onEndings: () => {},
  onGivenBack: () => {},
  onNews: () => {},
}

/** A pool that serves one task. */
export const serving = Effect.fnUntraced(function* (
  carryOut: Handler["carryOut"],
  options: Partial<Pool.Options> & Partial<Pick<Handler, "policy" | "hooks" | "isForOthers">> = {},
) {
  const { hooks, isForOthers, policy = usualPolicy, ...more } = options
  const pool = yield* Pool.make({ ...quiet, ...more })
  pool.serve({
    context: Context.pick(Clock.Clock)(yield* Effect.context<never>()),
    task,
    policy,
    owner: undefined,
    purpose: undefined,
    carryOut,
    hooks,
    ...(isForOthers !== undefined && { isForOthers }),
  })
  pool.keepFresh(Infinity)
  return pool
})

export const failed = (tag: string): Unsuccessful => ({
  failure: { tag, message: tag },
  isAnswer: false,
})

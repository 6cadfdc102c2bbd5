import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Fence } from "../domain/Lease.ts"
import * as PoolSizes from "../domain/PoolSizes.ts"
import { standard } from "../domain/Namespace.ts"
import { RunId } from "../domain/RunId.ts"
import { TaskName, usualPolicy } from "../domain/Task.ts"
import type { Grant } from "../services/RunStorage.ts"
import * as Pool from "./Pool.ts"

const task = TaskName.make("test/careful")

const grant: Grant = {
  run: RunId.make(1),
  fence: Fence.make(2),
  namespace: standard,
  task,
  attempt: 1,
  crashes: 0,
  isCareful: true,
  payload: "{}",
}

const quiet: Pool.Options = {
  sizes: PoolSizes.of(1),
  labels: {},
  stopMillis: 1000,
  mark: () => Effect.succeed(true),
  conclude: () => Effect.succeed(true),
  onChange: () => {},
  onNews: () => {},
}

describe("a run whose start is marked", () => {
  for (
    const [what, freshMillis, started, report] of [
      ["starts while the lease is fresh", 2000, 1, "Succeed"],
      ["is given back when the answer came after the lease may have run out", 500, 0, "Release"],
    ] as const
  ) {
    it.effect(what, () =>
      Effect.gen(function* () {
        let starts = 0
        const pool = yield* Pool.make({
          ...quiet,
          mark: () => Effect.as(Effect.sleep("1 second"), true),
        })
        pool.serve({
          context: Context.pick(Clock.Clock)(yield* Effect.context<never>()),
          task,
          policy: usualPolicy,
          owner: undefined,
          purpose: undefined,
          carryOut: () => Effect.sync(() => void starts++).pipe(Effect.as(undefined)),
        })
        const now = Number((yield* Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6
        pool.keepFresh(now + freshMillis)
        pool.take([grant])
        yield* TestClock.adjust("1 second")
        assert.strictEqual(starts, started)
        assert.deepStrictEqual(pool.takeReports(9).map(({ _tag }) => _tag), [report])
      }))
  }
})

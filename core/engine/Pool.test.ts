import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Fence } from "../domain/Lease.ts"
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

describe("a run whose start is marked", () => {
  /** A pool of one place with the grant in it; the marked start is answered a second later. */
  const carried = (mayStart: boolean, freshMillis: number) =>
    Effect.gen(function* () {
      let starts = 0
      const pool = yield* Pool.make({
        capacity: 1,
        mark: () => Effect.as(Effect.sleep("1 second"), mayStart),
        onChange: () => {},
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
      const reports = pool.takeReports(9).map(({ _tag }) => _tag)
      return { starts, reports, known: pool.known().length }
    })

  it.effect("starts while the lease is fresh", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* carried(true, 2000), {
        starts: 1,
        reports: ["Succeed"],
        known: 0,
      })
    }))

  it.effect("is given back when the answer came after the lease may have run out", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* carried(true, 500), {
        starts: 0,
        reports: ["Release"],
        known: 0,
      })
    }))

  it.effect("does nothing when somebody else holds it by now", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* carried(false, 2000), { starts: 0, reports: [], known: 0 })
    }))
})

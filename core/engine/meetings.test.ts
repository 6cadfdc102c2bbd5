import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { Fence } from "../domain/Lease.ts"
import { RunId } from "../domain/RunId.ts"
import * as Pool from "./Pool.ts"
import { grantOf, serving, task } from "./Pool.fixture.ts"

describe("runs that meet others of their task", () => {
  const rule = (blocking: Blocking.Separate) => Blocking.ruleOf(blocking)
  const told = (pool: Pool.Pool) =>
    pool.takeReports(9).map((report) => [
      report._tag,
      report.run as number,
      ...("failure" in report && report.failure !== undefined ? [report.failure.message] : []),
    ])
  const grants = (...runs: ReadonlyArray<number>) => runs.map((run) => grantOf(run))

  it.effect("are discarded while one is under way, also in a full pool", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.never)
      assert.isFalse(pool.isBusy(task))
      pool.meet(grants(2, 1, 3), rule(Blocking.discard))
      assert.deepStrictEqual(told(pool), [
        ["Discard", 2, "busy with run 1"],
        ["Discard", 3, "busy with run 1"],
      ])
      assert.isTrue(pool.isBusy(task))
      assert.deepStrictEqual(pool.known().map(({ run }) => run as number), [1])
    }))

  it.effect("wait, the latest of them, and it goes as soon as the one before it has ended", () =>
    Effect.gen(function* () {
      const free = yield* Deferred.make<undefined>()
      const begun: Array<number> = []
      const pool = yield* serving((_, { id }) => {
        begun.push(id)
        return Deferred.await(free)
      })
      pool.meet(grants(1), rule(Blocking.latest))
      pool.meet(grants(2, 3), rule(Blocking.latest))
      assert.deepStrictEqual(told(pool), [["Discard", 2, "replaced by run 3"]])
      assert.deepStrictEqual(pool.known().map(({ run }) => run as number), [1, 3])
      assert.strictEqual(pool.queued(), 1)
      yield* Deferred.succeed(free, undefined)
      yield* Effect.yieldNow
      assert.deepStrictEqual(told(pool), [["Succeed", 1], ["Succeed", 3]])
      assert.deepStrictEqual(begun, [1, 3])
    }))

  it.effect("replace the one under way, and begin when it has stopped", () =>
    Effect.gen(function* () {
      let under = 0
      let most = 0
      const begun = yield* Deferred.make<void>()
      const mayStop = yield* Deferred.make<void>()
      const pool = yield* serving(() =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++under)
          }),
          () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never),
          () => Effect.andThen(Deferred.await(mayStop), Effect.sync(() => under--)),
        )
      )
      pool.meet(grants(1), rule(Blocking.replace))
      yield* Deferred.await(begun)
      pool.meet(grants(2), rule(Blocking.replace))
      assert.deepStrictEqual(told(pool), [])
      pool.meet(grants(3), rule(Blocking.replace))
      assert.deepStrictEqual(told(pool), [["Discard", 2, "replaced by run 3"]])
      yield* Deferred.succeed(mayStop, undefined)
      yield* Effect.yieldNow
      assert.deepStrictEqual(told(pool), [["Abort", 1, "replaced by run 2"]])
      assert.deepStrictEqual(pool.known().map(({ run }) => run as number), [3])
      assert.deepStrictEqual([under, most], [1, 1])
    }))

  it.effect("replace one that has not begun", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.succeed(undefined))
      pool.keepFresh(0)
      pool.meet(grants(1), rule(Blocking.replace))
      pool.meet(grants(2), rule(Blocking.replace))
      assert.deepStrictEqual(told(pool), [["Abort", 1, "replaced by run 2"]])
      pool.keepFresh(Infinity)
      assert.deepStrictEqual(told(pool), [["Succeed", 2]])
    }))

  it.effect("go also when the one before them ends in the turn in which it began", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.succeed(undefined))
      pool.keepFresh(0)
      pool.meet(grants(1), rule(Blocking.latest))
      pool.meet(grants(2), rule(Blocking.latest))
      pool.keepFresh(Infinity)
      assert.deepStrictEqual(told(pool), [["Succeed", 1], ["Succeed", 2]])
    }))

  it.effect("are stopped, given back and forgotten while they wait, as any other", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.never)
      const fence = Fence.make(2)
      const meet = (run: number) => pool.meet(grants(run), rule(Blocking.latest))
      meet(1)
      meet(2)
      pool.revoke({ run: RunId.make(2), fence })
      assert.deepStrictEqual(told(pool), [["Abort", 2]])
      meet(3)
      pool.abandon(RunId.make(3), fence)
      assert.deepStrictEqual(pool.known().map(({ run }) => run as number), [1])
      meet(4)
      pool.forsake(task)
      assert.deepStrictEqual(told(pool), [["Release", 4]])
      meet(5)
      assert.deepStrictEqual(told(pool), [["Release", 5]])
    }))
})

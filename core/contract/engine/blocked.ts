/** Who waits for whom: by key, by task, by executor, by a lock. */
import { assert } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import * as Execution from "../../domain/Execution.ts"
import * as Retry from "../../domain/Retry.ts"
import { RunId } from "../../domain/RunId.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Locks } from "../../engine/Locks.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { Lock } from "../../services/Lock.ts"
import { serving, state, type Test, until } from "../program.ts"
import { anotherLeader } from "../invariants/processes.ts"
import { fresh, times } from "../world.ts"

export const blocked = (test: Test): void => {
  test("holds no lock while user code runs", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const look = Effect.map(lock.held({ prefix: "", limit: 10 }), (held) => held.length)
      const alone = Task.make("alone", {
        success: Schema.Int,
        policy: { blocking: Blocking.fifo, delivery: "at-most-once" },
      })
      yield* serving(alone.toLayer(() => Effect.orDie(look)))
      assert.strictEqual(yield* alone.execute({}), 0)
      // What it looks at would have shown one.
      const locks = yield* Locks
      assert.strictEqual(yield* locks.withLock(fresh("lock"), () => look), 1)
    }))

  test("I11 FIFO per key: one at a time, in order of submit, and others beside it", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      let under = 0
      const fifo = Task.make("fifo", {
        payload: { key: Schema.String, n: Schema.Int },
        policy: {
          blocking: Blocking.fifo,
          blockingKey: ({ key }) => key,
          retry: Retry.exponential({ attempts: 2, delayMillis: 20 }),
        },
      })
      const handler = fifo.toLayer(({ key, n }) =>
        Effect.gen(function* () {
          const { attempt } = yield* CurrentRun
          if (key === "a") assert.strictEqual(++under, 1)
          yield* Effect.sleep("10 millis")
          if (key === "a") under--
          // Nobody passes by one that will be tried again.
          if (n === 2 && attempt === 1) return yield* Effect.die(new Error("not yet"))
          order.push(`${key}${n}`)
        })
      )
      yield* serving(handler, { name: "a" })
      yield* serving(handler, { name: "b" })
      const runs: Array<RunId> = []
      for (let n = 0; n < 5; n++) runs.push(yield* fifo.submit({ key: "a", n }))
      const other = yield* fifo.submit({ key: "b", n: 0 })
      for (const run of [...runs, other]) yield* fifo.result(run)
      assert.deepStrictEqual(order.filter((each) => each[0] === "a"), [
        "a0",
        "a1",
        "a2",
        "a3",
        "a4",
      ])
    }))

  test("I12 discard-if-busy, B58: what comes while another is under way is discarded, wherever it comes", () =>
    Effect.gen(function* () {
      const free = yield* Deferred.make<void>()
      const only = Task.make("only", { policy: { blocking: Blocking.discard } })
      const began: Array<RunId> = []
      const handler = only.toLayer(() =>
        CurrentRun.use(({ id }) => {
          began.push(id)
          return Deferred.await(free)
        })
      )
      yield* serving(handler, { name: "a" })
      yield* serving(handler, { name: "b" })
      const scheduler = yield* Scheduler
      const submission = { task: only.name, payload: "{}", policy: only.policy }
      const first = yield* scheduler.submit(submission)
      assert.notStrictEqual(first.state, "Discarded")
      const other = Context.get(yield* anotherLeader, Scheduler)
      yield* Effect.forEach(
        times(20),
        (n) =>
          Effect.gen(function* () {
            const { run, state } = yield* (n % 2 === 0 ? other : scheduler).submit(submission)
            assert.strictEqual(state, "Discarded")
            const why = yield* scheduler.why(run)
            assert(why._tag === "Ended")
            assert.strictEqual(why.state, "Discarded")
            assert.include(why.failure?.message, `busy with run ${first.run}`)
          }),
        { concurrency: 5 },
      )
      yield* Deferred.succeed(free, undefined)
      assert.strictEqual((yield* scheduler.ended(first.run)).state, "Succeeded")
      assert.deepStrictEqual(began, [first.run])
    }))

  test("runs no more than n at once under concurrent(n)", () =>
    Effect.gen(function* () {
      let under = 0
      let most = 0
      const pair = Task.make("pair", { policy: { blocking: Blocking.concurrent(2) } })
      yield* serving(pair.toLayer(() =>
        Effect.gen(function* () {
          most = Math.max(most, ++under)
          yield* Effect.sleep("20 millis")
          under--
        })
      ))
      const runs = yield* Effect.forEach(Array.from({ length: 8 }), () => pair.submit({}))
      for (const run of runs) yield* pair.result(run)
      assert.strictEqual(most, 2)
    }))

  for (const [blocking, places] of [[Blocking.fifo, 1], [Blocking.concurrent(3), 3]] as const) {
    test(`blocks per executor: ${places} at once in each of two, in order, by the ledger`, () =>
      Effect.gen(function* () {
        const full = yield* Deferred.make<void>()
        let under = 0
        const task = Task.make("perExecutor", { policy: { blocking, blockingScope: "executor" } })
        const beside = Task.make("beside")
        const runs = yield* Effect.forEach(Array.from({ length: 16 }), () => task.submit({}))
        for (const name of ["one", "other"]) {
          yield* serving(
            Layer.mergeAll(
              task.toLayer(() =>
                Effect.gen(function* () {
                  if (++under === 2 * places) yield* Deferred.succeed(full, undefined)
                  yield* Deferred.await(full)
                  yield* Effect.sleep("10 millis")
                })
              ),
              beside.toLayer(() => Effect.void),
            ),
            { name, concurrency: 20 },
          )
        }
        yield* Deferred.await(full)
        yield* beside.execute({})
        const ledger = yield* Effect.forEach(runs, (run) =>
          Effect.gen(function* () {
            yield* task.result(run)
            const view = yield* state(run)
            const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
            const [execution] = Execution.of(view, events)
            return {
              executor: view.executor?.name,
              from: execution!.startedAt.epochMilliseconds,
              to: execution!.endedAt!.epochMilliseconds,
            }
          }))
        for (const name of ["one", "other"]) {
          const mine = ledger.filter(({ executor }) => executor === name)
          const most = mine.map(({ from: at }) =>
            mine.filter(({ from, to }) => from <= at && at < to).length
          )
          assert.strictEqual(Math.max(...most), places, name)
          const begun = mine.map(({ from }) => from)
          assert.deepStrictEqual(begun, begun.toSorted((a, b) => a - b), name)
        }
      }))
  }

  test("runs work under a lock, one holder at a time", () =>
    Effect.gen(function* () {
      let under = 0
      const key = fresh("lock")
      const locks = yield* Locks
      const work = locks.withLock(key, () =>
        Effect.gen(function* () {
          assert.strictEqual(++under, 1)
          yield* Effect.sleep("10 millis")
          under--
        }))
      yield* Effect.all([work, work, work], { concurrency: 3 })
      const held = yield* Effect.forkChild(locks.withLock(key, () => Effect.never))
      const refused = yield* until(
        Effect.exit(locks.tryWithLock(key, () => Effect.void)),
        Exit.isFailure,
      )
      assert(Exit.isFailure(refused))
      assert.include(Cause.pretty(refused.cause), "LockHeld")
      yield* Fiber.interrupt(held)
      yield* locks.withLock(key, () => Effect.void)
    }))
}

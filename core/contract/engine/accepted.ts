/** What is taken in, as what, and what is not. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import { RunId } from "../../domain/RunId.ts"
import { TaskName, usualPolicy } from "../../domain/Task.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { serving, state, type Test, until } from "../program.ts"
import { fresh, times } from "../world.ts"

export const accepted = (test: Test): void => {
  test("makes one run of payloads from which the task derives the same key", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const keyedBy = (name: string) =>
        Task.make(name, {
          payload: { order: Schema.String, copy: Schema.optionalKey(Schema.Int) },
          idempotencyKey: ({ order }) => order === "none" ? undefined : order,
        })
      const [bill, ship] = [keyedBy("bill"), keyedBy("ship")]
      const run = yield* bill.submit({ order: "7" })
      assert.strictEqual(yield* bill.submit({ order: "7" }), run)
      const conflict = yield* Effect.flip(bill.submit({ order: "7", copy: 2 }))
      assert.deepInclude(conflict, { _tag: "KeyConflict", idempotencyKey: "bill/7", run })
      const others = yield* Effect.all([
        bill.submit({ order: "8" }),
        bill.submit({ order: "7" }, { idempotencyKey: "another" }),
        bill.submit({ order: "none" }),
        bill.submit({ order: "none" }),
        ship.submit({ order: "7" }),
      ])
      assert.strictEqual(new Set([run, ...others]).size, 6)
      const both = yield* Effect.all([
        bill.submission({ order: "7" }),
        ship.submission({ order: "9" }),
      ])
      const accepted = yield* scheduler.submitAll(both)
      assert.deepStrictEqual(accepted.map(({ isNew }) => isNew), [false, true])
      assert.strictEqual(accepted[0]!.run, run)
      const long = yield* Effect.flip(bill.submit({ order: "x".repeat(512) }))
      assert.deepInclude(long, { _tag: "Refused", field: "idempotencyKey" })
    }))

  test("refuses text that not every storage keeps, and stores nothing", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const submission = { task: TaskName.make("strange"), payload: "1", policy: usualPolicy }
      for (const flawed of ["a\0b", "a\ud83d", "\udd14b"]) {
        const refused = [
          yield* Effect.flip(scheduler.submit(submission, { idempotencyKey: flawed })),
          yield* Effect.flip(scheduler.submit({ ...submission, payload: `"${flawed}"` })),
          yield* Effect.flip(scheduler.submit({
            ...submission,
            policy: { ...usualPolicy, blocking: Blocking.fifo },
            blockingKey: flawed,
          })),
        ]
        assert.deepEqual(
          refused.map((error) => error._tag === "Refused" ? error.field : error._tag),
          ["idempotencyKey", "payload", "blockingKey"],
        )
        yield* Effect.flip(Triggers.use(({ pause }) => pause(namespace, flawed)))
      }
      assert.deepEqual(yield* scheduler.list({ namespace, limit: 9 }), [])
      const payload = JSON.stringify("a\0b \ud83d")
      const { run } = yield* scheduler.submit({ ...submission, payload })
      assert.strictEqual((yield* state(run)).payload, payload)
    }))

  test("I2 idempotency: a repeated submit is answered with the first run, and another payload refused", () =>
    Effect.gen(function* () {
      const paid: Array<number> = []
      const pay = Task.make("pay", { payload: { cents: Schema.Int } })
      yield* serving(pay.toLayer(({ cents }) => Effect.sync(() => paid.push(cents))))
      const key = { idempotencyKey: fresh("key") }
      const submits = times(20).map(() => pay.submit({ cents: 5 }, key))
      const runs = yield* Effect.all(submits, { concurrency: 10 })
      const [first] = runs
      assert.deepStrictEqual(new Set(runs), new Set([first]))
      yield* pay.result(first!)
      assert.strictEqual(yield* pay.submit({ cents: 5 }, key), first)
      assert.deepStrictEqual(paid, [5])
      const refused = yield* Effect.flip(pay.submit({ cents: 6 }, key))
      assert.strictEqual(refused._tag, "KeyConflict")
    }))

  const OldOrder = Task.make("order", {
    payload: { amount: Schema.Int },
  })
  const NewOrder = Task.make("order", {
    payload: { total: Schema.Int, currency: Schema.String },
    success: Schema.String,
    earlier: Task.earlier({ amount: Schema.Int })
      .next({ total: Schema.Int }, ({ amount }) => ({ total: amount }))
      .now(({ total }) => ({ total, currency: "EUR" })),
  })

  test("carries out what older code has submitted, with the payload as it is now", () =>
    Effect.gen(function* () {
      const run = yield* OldOrder.submit({ amount: 3 })
      yield* serving(
        NewOrder.toLayer(({ currency, total }) => Effect.succeed(`${total} ${currency}`)),
      )
      assert.strictEqual(yield* NewOrder.result(run), "3 EUR")
      assert.strictEqual(yield* NewOrder.execute({ total: 5, currency: "CNY" }), "5 CNY")
    }))

  test("gives back what newer code has submitted, says why, and counts nothing", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      let calls = 0
      const called = Effect.sync(() => void calls++)
      yield* serving(
        OldOrder.toLayer(() => called, { prepare: () => called, clean: () => called }),
      )
      const run = yield* NewOrder.submit({ total: 5, currency: "CNY" })
      const page = yield* until(
        scheduler.log({ run, limit: 9 }),
        ({ lines }) => lines.length > 0,
      )
      assert.deepInclude(page.lines[0], { level: "Warn" })
      assert.match(
        page.lines[0]!.text,
        /^the stored payload is of version 3, and this executor knows 1: it is given back/,
      )
      yield* until(state(run), ({ attempt, fence }) => fence === 1 && attempt === 0)
      yield* serving(
        NewOrder.toLayer(({ currency, total }) => Effect.succeed(`${total} ${currency}`)),
      )
      assert.strictEqual(yield* NewOrder.result(run), "5 CNY")
      assert.deepInclude(yield* state(run), { attempt: 1, crashes: 0 })
      assert.strictEqual(calls, 0)
    }))

  test("I23 bounded: no more is taken in while a backlog is full, and none of it is lost", () =>
    Effect.gen(function* () {
      const began: Array<RunId> = []
      const task = Task.make(fresh("flooded"), { policy: { backlog: { high: 3, low: 1 } } })
      const accepted = yield* Effect.forEach([1, 2, 3], () => task.submit({}))
      yield* Effect.sleep("300 millis")
      const refused = yield* Effect.flip(task.submit({}))
      assert.strictEqual(refused._tag, "BacklogFull")
      const waiting = yield* Effect.forkChild(task.execute({}, { whenFull: "wait" }))
      yield* serving(
        task.toLayer(() => CurrentRun.use(({ id }) => Effect.sync(() => began.push(id)))),
      )
      yield* Fiber.join(waiting)
      const later = yield* task.submit({})
      for (const run of [...accepted, later]) yield* task.result(run)
      assert.includeMembers(began, [...accepted, later])
      assert.strictEqual(began.length, 5, "what was refused did not begin")
    }))
}

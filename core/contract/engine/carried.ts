/** What becomes of what is submitted: it is carried out, and answered. */
import { assert } from "@effect/vitest"
import {
  Cause,
  Clock,
  Context,
  DateTime,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Ref,
  Schema,
} from "effect"
import { Refused } from "../../domain/Refused.ts"
import * as Retry from "../../domain/Retry.ts"
import { RunId } from "../../domain/RunId.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { Executor } from "../../engine/Executor.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { serving, state, type Test, TooSmall, until } from "../program.ts"

export const carried = (test: Test): void => {
  test("carries a submitted run out, and answers with its typed result", () =>
    Effect.gen(function* () {
      const double = Task.make("double", { payload: { n: Schema.Int }, success: Schema.Int })
      yield* serving(double.toLayer(({ n }) => Effect.succeed(2 * n)))
      assert.strictEqual(yield* double.execute({ n: 21 }), 42)
      const run = yield* double.submit({ n: 1 })
      assert.strictEqual(yield* double.result(run), 2)
      const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
      assert.deepStrictEqual(events.map(({ kind }) => kind), [
        "Submitted",
        "Claimed",
        "Succeeded",
      ])
    }))

  test("N6: takes one handler of a task, and the first goes on when a second comes", () =>
    Effect.gen(function* () {
      const whose = Task.make("whose", { success: Schema.String })
      const executor = yield* Layer.build(Executor.layerWith({ ttl: "4 seconds" }))
      const from = (name: string) =>
        Effect.provideContext(Layer.build(whose.toLayer(() => Effect.succeed(name))), executor)
      yield* from("the first")
      const exit = yield* Effect.exit(Effect.scoped(from("the second")))
      assert(Exit.isFailure(exit))
      const refused = Cause.squash(exit.cause)
      assert.instanceOf(refused, Refused)
      assert.strictEqual((refused as Refused).field, "task")
      assert.strictEqual(yield* whose.execute({}), "the first")
    }))

  test("N28: knows in its handler which run it is, and all that is said of it", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const seen = yield* Deferred.make<CurrentRun["Service"]>()
      const whoami = Task.make("whoami", {
        payload: { n: Schema.Int },
        policy: { timeout: "1 minute" },
      })
      yield* serving(
        whoami.toLayer(() => CurrentRun.use((run) => Deferred.succeed(seen, run))),
        { labels: { zone: "eu" } },
      )
      const from = yield* Clock.currentTimeMillis
      const run = yield* whoami.submit({ n: 7 }, { idempotencyKey: "one" })
      yield* whoami.result(run)
      const { deadline, payload, ...known } = yield* Deferred.await(seen)
      assert.deepInclude(known, {
        id: run,
        namespace,
        task: whoami.name,
        attempt: 1,
        slot: undefined,
        shard: undefined,
        idempotencyKey: "one",
        labels: { zone: "eu" },
        timeoutMillis: 60_000,
        checkpoint: undefined,
      })
      assert.isAbove(known.fence, 0)
      assert.deepStrictEqual(JSON.parse(payload), { n: 7 })
      assert.isAtLeast(deadline!, from + 60_000)
      const { fence } = yield* state(run)
      assert.strictEqual(known.fence, fence)
    }))

  test("has the same key, and the same id, at every attempt", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [RunId, string | undefined]> = []
      const keyed = Task.make("keyed", {
        policy: { retry: Retry.exponential({ attempts: 3, delayMillis: 10 }) },
      })
      yield* serving(keyed.toLayer(() =>
        CurrentRun.use(({ attempt, id, idempotencyKey }) =>
          Effect.suspend(() => {
            seen.push([id, idempotencyKey])
            return attempt < 3 ? Effect.die(new Error("not yet")) : Effect.void
          })
        )
      ))
      const run = yield* keyed.submit({}, { idempotencyKey: "once" })
      yield* keyed.result(run)
      assert.strictEqual(yield* keyed.submit({}, { idempotencyKey: "once" }), run)
      assert.deepStrictEqual(
        seen,
        Array.from({ length: 3 }, () =>
          [run, "once"] as const),
      )
    }))

  test("takes a declared error for an answer: it is typed, final and not retried", () =>
    Effect.gen(function* () {
      const starts = yield* Ref.make(0)
      const strict = Task.make("strict", {
        payload: { n: Schema.Int },
        error: TooSmall,
        policy: { retry: Retry.exponential({ attempts: 5, delayMillis: 10 }) },
      })
      yield* serving(
        strict.toLayer(() =>
          Effect.andThen(
            Ref.update(starts, (n) => n + 1),
            Effect.fail(new TooSmall({ least: 9 })),
          )
        ),
      )
      const error = yield* Effect.flip(strict.execute({ n: 1 }))
      assert.deepStrictEqual(error, new TooSmall({ least: 9 }))
      assert.strictEqual(yield* Ref.get(starts), 1)
    }))

  test("starts a delayed run not before its time", () =>
    Effect.gen(function* () {
      const later = Task.make("later")
      yield* serving(later.toLayer(() => Effect.void))
      const run = yield* later.submit({}, { delay: "400 millis" })
      const ended = yield* Scheduler.use((scheduler) => scheduler.ended(run))
      const { claimedAt, createdAt } = ended
      const waited = DateTime.toEpochMillis(claimedAt!) - DateTime.toEpochMillis(createdAt)
      assert.isAtLeast(waited, 400)
    }))

  test("Q8: whoever executes waits for the answer, and the run holds its place until then", () =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      const task = Task.make("at-once", {
        payload: { n: Schema.Int },
        success: Schema.Int,
      })
      const live = task.toLayer(({ n }) => Effect.as(Deferred.await(go), 2 * n))
      const layer = Executor.layerWith({ ttl: "4 seconds", concurrency: 1 })
      const { status } = Context.get(
        yield* Layer.build(Layer.provideMerge(live, layer)),
        Executor,
      )
      const first = yield* Effect.forkChild(task.execute({ n: 21 }))
      yield* until(status, ({ running }) => running === 1)
      const second = yield* task.submit({ n: 1 })
      yield* Effect.sleep("200 millis")
      assert.strictEqual((yield* status).running, 1)
      assert.notStrictEqual((yield* state(second)).state, "Succeeded")
      yield* Deferred.succeed(go, undefined)
      assert.strictEqual(yield* Fiber.join(first), 42)
      assert.strictEqual(yield* task.result(second), 2)
    }))

  test("leaves a run that was handed over to the first notice", () =>
    Effect.gen(function* () {
      const task = Task.make("payment", { success: Schema.Int })
      yield* serving(task.toLayer(() => CurrentRun.use(({ handOver }) => handOver("1 hour"))))
      const scheduler = yield* Scheduler
      const run = yield* task.submit({})
      yield* until(state(run), (view) => view.state === "Awaiting")
      assert.deepInclude(yield* scheduler.why(run), { _tag: "Awaits" })
      const notices = [42, 43].map((n) =>
        scheduler.notify(run, { _tag: "Succeeded", result: `${n}` })
      )
      const answers = yield* Effect.all(notices, { concurrency: 2 })
      assert.deepStrictEqual(answers.toSorted(), ["applied", "duplicate"])
      assert.strictEqual(yield* task.result(run), 42 + answers.indexOf("applied"))
      const silent = Task.make("silent")
      yield* serving(
        silent.toLayer(() => CurrentRun.use(({ handOver }) => handOver("50 millis"))),
      )
      const ended = yield* scheduler.ended(yield* silent.submit({}))
      assert.strictEqual(ended.state, "TimedOut")
    }))

  test("I14 DAG, I15 sharding: a parent ends when its shards have, and a failed one is tried again", () =>
    Effect.gen(function* () {
      const isFull = yield* Ref.make(true)
      const seen: Array<number> = []
      const slice = Task.make("slice", { payload: { table: Schema.String } })
      yield* serving(slice.toLayer(() =>
        Effect.gen(function* () {
          const { shard } = yield* CurrentRun
          seen.push(shard!.index)
          assert.strictEqual(shard!.count, 4)
          if (shard!.index === 3 && (yield* Ref.get(isFull))) return yield* Effect.die("full")
        })
      ))
      const scheduler = yield* Scheduler
      const submission = {
        task: slice.name,
        payload: '{"table":"t"}',
        policy: slice.policy,
      }
      const { run } = yield* scheduler.submitSharded(submission, { count: 4, atOnce: 1 })
      assert.strictEqual((yield* scheduler.ended(run)).state, "Failed")
      assert.deepStrictEqual(seen, [0, 1, 2, 3])
      yield* Ref.set(isFull, false)
      assert.strictEqual(yield* scheduler.revive(run), "confirmed")
      assert.strictEqual((yield* scheduler.ended(run)).state, "Succeeded")
      assert.deepStrictEqual(seen, [0, 1, 2, 3, 3])
      for (const sharding of [{ count: 0 }, { count: 1001 }, { count: 2, atOnce: 0 }]) {
        const refused = yield* Effect.flip(scheduler.submitSharded(submission, sharding))
        assert.strictEqual(refused._tag, "Refused")
      }
    }))

  test("J21: a result that does not fit is refused, with the path of what is wrong with it", () =>
    Effect.gen(function* () {
      const Report = Schema.Struct({ rows: Schema.Array(Schema.Struct({ cents: Schema.Int })) })
      const report = Task.make("report", { success: Report })
      yield* serving(
        report.toLayer(() => Effect.succeed({ rows: [{ cents: 1 }, { cents: "two" }] } as never)),
      )
      const failed = yield* Effect.flip(report.execute({}))
      assert(failed._tag === "RunFailed")
      assert.deepInclude(failed, { state: "Failed" })
      assert.strictEqual(failed.failure?.tag, "ResultRefused")
      assert.include(failed.failure?.message, '["rows"][1]["cents"]')
    }))

  test("gives the answers of a run's parts in their order, and says that it has none of its own", () =>
    Effect.gen(function* () {
      const counted = Task.make("counted", {
        payload: { table: Schema.String },
        success: Schema.Int,
      })
      yield* serving(
        counted.toLayer(() => CurrentRun.use(({ shard }) => Effect.succeed(10 * shard!.index))),
      )
      const scheduler = yield* Scheduler
      const { run } = yield* scheduler.submitSharded(yield* counted.submission({ table: "t" }), {
        count: 103,
      })
      assert.deepStrictEqual(
        yield* counted.results(run),
        Array.from({ length: 103 }, (_, n) => 10 * n),
      )
      const refused = yield* Effect.flip(counted.result(run))
      assert(refused._tag === "RunFailed")
      assert.deepInclude(refused.failure, { tag: "ResultUnread" })
      assert.include(refused.message, "`results`")
    }))

  test("fails as unread where a notice brings what is no result of its task", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const asked = Task.make("asked", { success: Schema.Int })
      yield* serving(asked.toLayer(() => CurrentRun.use(({ handOver }) => handOver())))
      const run = yield* asked.submit({})
      yield* until(state(run), ({ state }) => state === "Awaiting")
      yield* scheduler.notify(run, { _tag: "Succeeded", result: '"seven"' })
      const refused = yield* Effect.flip(asked.result(run))
      assert.strictEqual(refused._tag, "RunFailed")
      assert.deepInclude(refused, { state: "Succeeded" })
      assert.include(refused.message, "Expected")
    }))

  test("carries many out, each once", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      const many = Task.make("many", { payload: { n: Schema.Int } })
      yield* serving(many.toLayer(({ n }) => Effect.sync(() => seen.push(n))))
      const scheduler = yield* Scheduler
      const accepted = yield* scheduler.submitAll(Array.from({ length: 1000 }, (_, n) => ({
        task: many.name,
        payload: JSON.stringify({ n }),
        policy: many.policy,
      })))
      for (const { run } of accepted) yield* scheduler.ended(run)
      assert.deepStrictEqual(
        seen.toSorted((a, b) => a - b),
        Array.from({ length: 1000 }, (_, n) => n),
      )
    }))
}

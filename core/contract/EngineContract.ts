/**
 * What a user of the whole may rely on, as tests: a task submitted or fired is carried out, settled
 * and seen. An adapter of storage or transport passes when the engine over it does.
 *
 * They run in real time on real clocks, wait for facts, and bound nothing more tightly than a busy
 * machine needs.
 */
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
  Option,
  Ref,
  Schema,
  Scope,
  Stream,
} from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { dateOf } from "../domain/Calendar.ts"
import * as Execution from "../domain/Execution.ts"
import * as Retry from "../domain/Retry.ts"
import { RunId } from "../domain/RunId.ts"
import { TaskName, usualPolicy } from "../domain/Task.ts"
import { dueOf, type TriggerName } from "../domain/Trigger.ts"
import * as Calendar from "../engine/Calendar.ts"
import * as Actor from "../engine/Actor.ts"
import { Breakers } from "../engine/Breakers.ts"
import { CurrentNamespace } from "../engine/CurrentNamespace.ts"
import { CurrentRun } from "../engine/CurrentRun.ts"
import { Executor } from "../engine/Executor.ts"
import { Locks } from "../engine/Locks.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import * as Task from "../engine/Task.ts"
import * as Trigger from "../engine/Trigger.ts"
import { Triggers } from "../engine/Triggers.ts"
import { Lock } from "../services/Lock.ts"
import { Storage } from "../services/Storage.ts"
import {
  type Base,
  inFreshNamespace,
  type Program,
  programOver,
  serving,
  state,
  until,
} from "./program.ts"
import * as GroupsContract from "./GroupsContract.ts"
import { anotherLeader } from "./invariants/processes.ts"
import { block, fresh, times } from "./world.ts"

class TooSmall extends Schema.TaggedError<TooSmall>()("TooSmall", { least: Schema.Int }) {}

export const suite = <E>(adapter: string, base: Layer.Layer<Base, E>): void => {
  const program = programOver(base)

  block(`the engine, ${adapter}`, program, { runner: "live" }, (it) => {
    const test = (
      name: string,
      body: () => Effect.Effect<unknown, unknown, Program | Scope.Scope>,
    ) => it.effect(name, () => inFreshNamespace(body()))

    GroupsContract.tests(test)

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

    test("carries out at once what it serves since it has begun to wait for work", () =>
      Effect.gen(function* () {
        const [early, late] = [Task.make("early"), Task.make("late")]
        const executor = yield* Layer.build(Executor.layerWith({ ttl: "4 seconds" }))
        const serve = (handlers: Layer.Layer<never, never, Executor>) =>
          Layer.build(Layer.provide(handlers, Layer.succeedContext(executor)))
        yield* serve(early.toLayer(() => Effect.void))
        yield* early.execute({})
        yield* Effect.sleep("300 millis")
        yield* serve(late.toLayer(() => Effect.void))
        yield* Effect.timeout(late.execute({}), "5 seconds")
        yield* Effect.timeout(early.execute({}), "5 seconds")
      }))

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

    test("tells each event of a run as it comes, until it has ended", () =>
      Effect.gen(function* () {
        const go = yield* Deferred.make<void>()
        const task = Task.make("watched", {
          policy: { retry: Retry.exponential({ attempts: 2, delayMillis: 20 }) },
        })
        let starts = 0
        yield* serving(
          task.toLayer(() =>
            starts++ === 0 ? Effect.die(new Error("the first time")) : Deferred.await(go)
          ),
        )
        const run = yield* task.submit({})
        const told: Array<string> = []
        const watching = yield* Scheduler.watch(run).pipe(
          Stream.runForEach(({ kind }) => Effect.sync(() => told.push(kind))),
          Effect.forkChild,
        )
        const untilStarted = ["Submitted", "Claimed", "Retried", "Claimed"]
        yield* until(Effect.sync(() => told), ({ length }) => length >= untilStarted.length)
        assert.deepStrictEqual(told, untilStarted)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(watching)
        assert.deepStrictEqual(told, [...untilStarted, "Succeeded"])
        const unknown = yield* Effect.flip(Stream.runDrain(Scheduler.watch(RunId.make(2 ** 52))))
        assert.strictEqual(unknown._tag, "RunUnknown")
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

    test("knows in its handler which run it is", () =>
      Effect.gen(function* () {
        const whoami = Task.make("whoami", { success: Schema.Tuple([Schema.Int, Schema.Int]) })
        yield* serving(whoami.toLayer(() =>
          CurrentRun.use(({ attempt, id }) => Effect.succeed([id, attempt] as const))
        ))
        const run = yield* whoami.submit({})
        assert.deepStrictEqual(yield* whoami.result(run), [run, 1])
      }))

    test("shows what a run says while it runs, and afterwards", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const goOn = yield* Deferred.make<void>()
        const talkative = Task.make("talkative")
        yield* serving(talkative.toLayer(() =>
          Effect.gen(function* () {
            const { progress } = yield* CurrentRun
            yield* progress({ done: 1, total: 2, text: "half" })
            yield* Effect.annotateLogs(Effect.logInfo("hello", { n: 1 }), "who", "Ada")
            yield* Deferred.await(goOn)
            yield* Effect.logError("oh", Cause.fail(new Error("no")))
            yield* progress({ percent: 100 })
          })
        ))
        const run = yield* talkative.submit({})
        const page = yield* until(
          scheduler.log({ run, limit: 9 }),
          ({ lines }) => lines.length > 0,
        )
        const said = page.lines.map(({ level, number, text }) => [number, level, text])
        assert.deepStrictEqual(said, [[1, "Info", 'hello {"n":1} who=Ada']])
        const half = yield* until(scheduler.progress(run), Option.isSome)
        assert.deepInclude(Option.getOrThrow(half), {
          percent: 50,
          done: 1,
          total: 2,
          text: "half",
        })
        yield* Deferred.succeed(goOn, undefined)
        yield* talkative.result(run)
        const { lines } = yield* scheduler.log({ run, limit: 9, after: page.lines[0] })
        assert.deepInclude(lines[0], { number: 2, level: "Error" })
        assert.include(lines[0]!.text, "no")
        const last = Option.getOrThrow(yield* scheduler.progress(run))
        assert.strictEqual(last.percent, 100)
        const unknown = yield* Effect.flip(
          scheduler.log({ run: (run + 1_000_000) as RunId, limit: 1 }),
        )
        assert.strictEqual(unknown._tag, "RunUnknown")
      }))

    test("keeps what was said by an executor that is gone, and the next one begins anew", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const task = Task.make("evidence")
        const scope = yield* Scope.make()
        const says = (text: string) =>
          task.toLayer(() =>
            Effect.gen(function* () {
              const { keep, progress } = yield* CurrentRun
              yield* Effect.logInfo(text)
              yield* progress({ text })
              yield* Effect.orDie(keep(JSON.stringify(text)))
              return yield* Effect.never
            })
          )
        yield* Scope.provide(serving(says("first"), { drainTimeout: "100 millis" }), scope)
        const run = yield* task.submit({})
        yield* until(scheduler.progress(run), Option.isSome)
        yield* Scope.close(scope, Exit.void)
        const before = yield* state(run)
        assert.deepInclude(before, { state: "Ready", attempt: 0 })
        yield* serving(
          task.toLayer(() =>
            CurrentRun.use(({ checkpoint }) => Effect.logInfo(`after ${checkpoint}`))
          ),
        )
        yield* task.result(run)
        const { lines } = yield* scheduler.log({ run, limit: 9 })
        assert.deepStrictEqual(lines.map(({ text }) => text), ["first", 'after "first"'])
        assert.isBelow(lines[0]!.fence, lines[1]!.fence)
        assert.isTrue(Option.isNone(yield* scheduler.progress(run)), "the second said none")
        assert.strictEqual((yield* state(run)).attempt, 1, "a shutdown is no attempt")
      }))

    test("stores the outcome before it cleans, and cleans elsewhere when it is stopped there", () =>
      Effect.gen(function* () {
        const steps: Array<string> = []
        const step = (name: string) => Effect.sync(() => void steps.push(name))
        const task = Task.make("careful", { success: Schema.String })
        const live = (clean: Effect.Effect<void>) =>
          task.toLayer(() => Effect.as(step("run"), "done"), {
            prepare: () => step("prepare"),
            clean: (_, { state }) => Effect.andThen(step(`clean ${state}`), clean),
            summary: () => Effect.succeed("it went well"),
          })
        const scope = yield* Scope.make()
        yield* Scope.provide(
          serving(live(Effect.never), { drainTimeout: "100 millis" }),
          scope,
        )
        const run = yield* task.submit({})
        const cleaning = yield* until(state(run), ({ phase }) => phase !== undefined)
        assert.deepInclude(cleaning, { state: "Running", phase: "cleaning" })
        yield* Scope.close(scope, Exit.void)
        yield* serving(live(Effect.void))
        assert.strictEqual(yield* task.result(run), "done")
        assert.deepStrictEqual(steps, ["prepare", "run", "clean Succeeded", "clean Succeeded"])
        const { lines } = yield* Scheduler.use((s) => s.log({ run, limit: 9 }))
        assert.strictEqual(lines.at(-1)?.text, "it went well")
      }))

    test("Q37: takes its steps in order: let in, prepared, run, cleaned, ended, and then who waits for that", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const namespace = yield* CurrentNamespace
        const steps: Array<string> = []
        const step = (name: string) => Effect.sync(() => void steps.push(name))
        const task = Task.make("stepwise", {
          payload: { name: Schema.String },
          policy: { blocking: Blocking.fifo },
        })
        const next = Task.make("next")
        yield* serving(Layer.merge(
          task.toLayer(({ name }) => step(`${name} runs`), {
            prepare: ({ name }) => step(`${name} is prepared`),
            clean: ({ name }) => step(`${name} is cleaned`),
          }),
          next.toLayer(() => step("next")),
        ))
        yield* Layer.build(next.schedule("behind", Trigger.after(task), {}))
        const runs = yield* Effect.forEach(["a", "b", "c"], (name) => task.submit({ name }))
        yield* until(
          Effect.sync(() => steps.filter((step) => step === "next").length),
          (count) => count === runs.length,
        )
        assert.deepStrictEqual(
          steps.filter((step) => step !== "next"),
          ["a", "b", "c"].flatMap((name) =>
            ["is prepared", "runs", "is cleaned"].map((what) => `${name} ${what}`)
          ),
        )
        const followers = yield* scheduler.list({ namespace, task: next.name, limit: 9 })
        let free = 0
        for (const run of runs) {
          const told = yield* scheduler.events(run)
          const kinds = ["Submitted", "Admitted", "Claimed", "Succeeded"]
          assert.deepStrictEqual(told.map(({ kind }) => kind), kinds)
          const at = told.map(({ at }) => DateTime.toEpochMillis(at))
          assert.deepStrictEqual(at, at.toSorted((a, b) => a - b))
          assert.isAtLeast(at[1]!, free, "its place of the gate is free")
          free = at[3]!
          const follower = followers.find(({ after }) => after === run)!
          assert.isAtLeast(DateTime.toEpochMillis(follower.createdAt), free)
        }
      }))

    test("rolls back what failed for good, and shows it doing so", () =>
      Effect.gen(function* () {
        const goOn = yield* Deferred.make<void>()
        const task = Task.make("undone", { error: TooSmall })
        yield* serving(task.toLayer(() => Effect.fail(new TooSmall({ least: 7 })), {
          rollback: (_, { tag }) =>
            Effect.andThen(
              Deferred.await(goOn),
              Effect.die(new Error(`cannot undo after ${tag}`)),
            ),
        }))
        const run = yield* task.submit({})
        yield* until(state(run), ({ phase }) => phase === "rollingBack")
        yield* Deferred.succeed(goOn, undefined)
        const view = yield* Scheduler.use((scheduler) => scheduler.ended(run))
        assert.strictEqual(view.state, "Failed")
        assert.strictEqual(view.failure?.tag, "RollbackFailed")
        assert.include(view.failure?.message, "cannot undo after TooSmall")
      }))

    test("Q32: rolls back on demand what has succeeded, with its result, and again if that fails", () =>
      Effect.gen(function* () {
        const undone: Array<unknown> = []
        let isWilling = false
        const task = Task.make("charge", { success: Schema.String })
        yield* serving(task.toLayer(() => Effect.succeed("receipt 7"), {
          rollback: (_, failure) =>
            CurrentRun.use(({ result }) =>
              isWilling
                ? Effect.sync(() => void undone.push([failure.tag, failure.message, result]))
                : Effect.die(new Error("the bank is closed"))
            ),
        }))
        const run = yield* task.submit({})
        assert.strictEqual(yield* task.result(run), "receipt 7")
        const { ended, events, rollback } = yield* Scheduler
        assert.strictEqual(yield* rollback(run, { by: "Ada", note: "twice" }), "confirmed")
        const failed = yield* ended(run)
        assert.strictEqual(failed.state, "Failed")
        assert.strictEqual(failed.failure?.tag, "RollbackFailed")
        assert.include(failed.failure?.message, "the bank is closed")
        isWilling = true
        yield* rollback(run, { by: "Bob" })
        const view = yield* ended(run)
        assert.strictEqual(view.state, "Failed")
        assert.strictEqual(view.failure?.tag, "RolledBack")
        const said = "Bob asked for it to be rolled back"
        assert.deepStrictEqual(undone, [["RollbackAsked", said, '"receipt 7"']])
        assert.strictEqual(yield* rollback(run), "confirmed")
        assert.deepStrictEqual(
          (yield* events(run)).flatMap(({ by, detail, kind }) =>
            kind === "RollbackAsked" ? [[by, detail]] : []
          ),
          [["Ada", "twice"], ["Bob", undefined]],
        )
      }))

    test("Q32: says why it rolls nothing back, and that a task has no rollback", () =>
      Effect.gen(function* () {
        const { ended, rollback } = yield* Scheduler
        const task = Task.make("plain")
        const waiting = yield* task.submit({}, { delay: "1 hour" })
        const early = yield* Effect.flip(rollback(waiting))
        assert.strictEqual(early._tag, "OrderRefused")
        assert.include(early.message, "has not ended; cancel it")
        yield* Scheduler.use((scheduler) => scheduler.cancel(waiting))
        assert.include((yield* Effect.flip(rollback(waiting))).message, "nobody has begun it")
        const tooMuch = yield* Effect.flip(rollback(waiting, { note: "x".repeat(1025) }))
        assert.deepInclude(tooMuch, { _tag: "Refused", field: "note" })
        yield* serving(task.toLayer(() => Effect.void))
        const run = yield* task.submit({})
        yield* task.result(run)
        yield* rollback(run)
        const { failure } = yield* ended(run)
        assert.strictEqual(failure?.tag, "RollbackFailed")
        assert.include(failure?.message, "the task has no rollback")
      }))

    test("I17 time-out: a handler that ignores its interruption is stuck, and gives its place back", () =>
      Effect.gen(function* () {
        const release = yield* Deferred.make<void>()
        const stuck = Task.make("stuck", { policy: { timeout: "200 millis" } })
        const next = Task.make("next")
        yield* serving(
          Layer.mergeAll(
            stuck.toLayer(() => Effect.uninterruptible(Deferred.await(release))),
            next.toLayer(() => Effect.void),
          ),
          { concurrency: 1, stopTimeout: "300 millis" },
        )
        const run = yield* stuck.submit({})
        yield* next.execute({})
        const view = yield* Scheduler.use((scheduler) => scheduler.ended(run))
        assert.strictEqual(view.state, "TimedOut")
        assert.include(view.failure?.message, "stuck")
        const namespace = yield* CurrentNamespace
        const { executors } = yield* Storage
        yield* until(executors.list(namespace), ([each]) => each?.vitals?.stuck === 1)
        yield* Deferred.succeed(release, undefined)
        yield* until(executors.list(namespace), ([each]) => each?.vitals?.stuck === 0)
      }))

    test("changes the pool of an executor while it runs", () =>
      Effect.gen(function* () {
        const namespace = yield* CurrentNamespace
        const { executors } = yield* Storage
        const slow = Task.make("slow")
        yield* serving(slow.toLayer(() => Effect.never), {
          concurrency: 1,
          drainTimeout: "100 millis",
        })
        for (let n = 0; n < 4; n++) yield* slow.submit({})
        const [first] = yield* until(
          executors.list(namespace),
          ([each]) => each?.vitals?.running === 1,
        )
        const sizes = { core: 3, maximum: 3, queueLength: 0, prefetchMillis: 0 }
        assert.isTrue(yield* executors.resize(namespace, first!.incarnation, sizes))
        const [after] = yield* until(
          executors.list(namespace),
          ([each]) => each?.vitals?.running === 3,
        )
        assert.deepEqual(after?.vitals?.sizes, sizes)
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

    test("retries what dies, and gives up after the last attempt", () =>
      Effect.gen(function* () {
        const retry = Retry.exponential({ attempts: 3, delayMillis: 20, growth: 1 })
        const flaky = Task.make("flaky", { success: Schema.Int, policy: { retry } })
        const doomed = Task.make("doomed", { policy: { retry } })
        yield* serving(Layer.mergeAll(
          flaky.toLayer(() =>
            CurrentRun.use(({ attempt }) =>
              attempt < 3 ? Effect.die(new Error("not yet")) : Effect.succeed(attempt)
            )
          ),
          doomed.toLayer(() => Effect.die(new Error("never"))),
        ))
        assert.strictEqual(yield* flaky.execute({}), 3)
        const failed = yield* Effect.flip(doomed.execute({}))
        assert(failed._tag === "RunFailed")
        assert.strictEqual(failed.state, "Failed")
        assert.strictEqual(failed.failure?.message, "never")
        assert.strictEqual((yield* state(failed.run)).attempt, 3)
      }))

    test("I17 time-out: an attempt that takes too long is interrupted, and its finalizers run", () =>
      Effect.gen(function* () {
        const cleaned = yield* Deferred.make<void>()
        const slow = Task.make("slow", { policy: { timeout: "100 millis" } })
        yield* serving(
          slow.toLayer(() =>
            Effect.onInterrupt(Effect.never, () => Deferred.succeed(cleaned, undefined))
          ),
        )
        const failed = yield* Effect.flip(slow.execute({}))
        assert(failed._tag === "RunFailed")
        assert.strictEqual(failed.state, "TimedOut")
        yield* Deferred.await(cleaned)
        const { claimedAt, finishedAt } = yield* state(failed.run)
        const took = DateTime.toEpochMillis(finishedAt!) - DateTime.toEpochMillis(claimedAt!)
        assert.isBelow(took, 100 + 1000, "within a second")
      }))

    test("cancels a waiting run at once, and a running one through its holder", () =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const long = Task.make("long")
        yield* serving(
          long.toLayer(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)),
          { concurrency: 1 },
        )
        const scheduler = yield* Scheduler
        const running = yield* long.submit({})
        yield* Deferred.await(started)
        const waiting = yield* long.submit({}, { delay: "1 hour" })
        assert.strictEqual(yield* scheduler.cancel(waiting), "confirmed")
        assert.strictEqual(yield* scheduler.cancel(running), "requested")
        assert.strictEqual((yield* scheduler.ended(running)).state, "Cancelled")
        assert.strictEqual(yield* scheduler.cancel(running), "ended")
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
              assert.deepInclude(why, { _tag: "Ended", state: "Discarded" })
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

    test("puts a run down when it is suspended, and resumes it from its checkpoint", () =>
      Effect.gen(function* () {
        const starts = yield* Ref.make<ReadonlyArray<string | undefined>>([])
        const task = Task.make("steps", { success: Schema.String })
        yield* serving(task.toLayer(() =>
          Effect.gen(function* () {
            const { checkpoint, keep } = yield* CurrentRun
            if (checkpoint === undefined) yield* Effect.orDie(keep('"half"'))
            yield* Ref.update(starts, (all) => [...all, checkpoint])
            return checkpoint ?? (yield* Effect.never)
          })
        ))
        const scheduler = yield* Scheduler
        const run = yield* task.submit({})
        yield* until(Ref.get(starts), (all) => all.length === 1)
        assert.strictEqual(yield* scheduler.suspend(run), "requested")
        yield* until(state(run), (view) => view.state === "Suspended")
        assert.deepInclude(yield* scheduler.why(run), { _tag: "Suspended" })
        assert.strictEqual(yield* scheduler.resume(run), "confirmed")
        assert.strictEqual(yield* task.result(run), '"half"')
        assert.deepStrictEqual(yield* Ref.get(starts), [undefined, '"half"'])
        const refused = yield* Effect.flip(scheduler.suspend(run))
        assert.deepInclude(refused, { _tag: "OrderRefused", state: "Succeeded" })
      }))

    test("A23, A24: what is suspended frees its place, and goes on elsewhere with no step done twice", () =>
      Effect.gen(function* () {
        const done: Array<string> = []
        const isHalfway = yield* Deferred.make<void>()
        const task = Task.make("in-steps")
        const live = (where: string) =>
          task.toLayer(() =>
            Effect.gen(function* () {
              const { checkpoint, keep } = yield* CurrentRun
              for (let step = Number(checkpoint ?? "0") + 1; step <= 4; step++) {
                done.push(`${step} ${where}`)
                yield* Effect.orDie(keep(`${step}`))
                if (step < 2 || where === "there") continue
                yield* Deferred.succeed(isHalfway, undefined)
                yield* Effect.never
              }
            })
          )
        const joined = (name: string) =>
          Layer.build(
            Layer.provideMerge(live(name), Executor.layerWith({ ttl: "4 seconds", name })),
          )
        const scope = yield* Scope.make()
        const { status } = Context.get(yield* Scope.provide(joined("here"), scope), Executor)
        const scheduler = yield* Scheduler
        const run = yield* task.submit({})
        yield* Deferred.await(isHalfway)
        assert.strictEqual((yield* status).running, 1)
        yield* scheduler.suspend(run)
        yield* until(state(run), (view) => view.state === "Suspended")
        yield* until(status, ({ running }) => running === 0)
        yield* Scope.close(scope, Exit.void)
        yield* joined("there")
        yield* scheduler.resume(run)
        yield* task.result(run)
        assert.deepStrictEqual(done, ["1 here", "2 here", "3 there", "4 there"])
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

    test("lets a run expire that nobody began by its deadline", () =>
      Effect.gen(function* () {
        const late = Task.make("late")
        const scheduler = yield* Scheduler
        const run = yield* late.submit({}, { deadline: "50 millis" })
        const ended = yield* scheduler.ended(run)
        assert.deepInclude(ended, { state: "Expired", attempt: 0 })
        const refused = yield* Effect.flip(late.submit({}, { deadline: 0 }))
        assert.deepInclude(refused, { _tag: "Refused", field: "deadline" })
      }))

    test("has a run that waits go sooner on request, and says by whom and instead of what", () =>
      Effect.gen(function* () {
        const order: Array<string> = []
        const only = Task.make("one-at-a-time", {
          payload: { name: Schema.String },
          policy: { blocking: Blocking.fifo },
        })
        const scheduler = yield* Scheduler
        const go = yield* Deferred.make<void>()
        yield* serving(only.toLayer(({ name }) => {
          order.push(name)
          return name === "first" ? Deferred.await(go) : Effect.void
        }))
        yield* only.submit({ name: "first" })
        yield* until(Effect.sync(() => order.length), (count) => count === 1)
        const second = yield* only.submit({ name: "second" })
        const third = yield* only.submit({ name: "third" })
        yield* scheduler.change(third, { level: 0, by: "Ada" })
        const why = yield* scheduler.why(third)
        assert.deepInclude(why, {
          _tag: "GateFull",
          ahead: 0,
          level: { present: 0, submitted: 1 },
        })
        assert.notProperty(yield* scheduler.why(second), "level")
        const nobody = yield* Effect.flip(scheduler.change(second, { level: 0, by: "" }))
        assert.deepInclude(nobody, { _tag: "Refused", field: "by" })
        yield* Deferred.succeed(go, undefined)
        for (const run of [second, third]) yield* scheduler.ended(run)
        assert.deepStrictEqual(order, ["first", "third", "second"])
        const said = (yield* scheduler.events(third)).find(({ kind }) => kind === "LevelSet")
        assert.deepInclude(said, { detail: "usual → urgent", by: "Ada" })
      }))

    test("lets a run expire by the deadline that it was given since, and says why others get none", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const one = Task.make("one-by-one", { policy: { blocking: Blocking.fifo } })
        const go = yield* Deferred.make<void>()
        yield* serving(one.toLayer(() => Deferred.await(go)))
        const first = yield* one.submit({})
        yield* until(scheduler.find(first), ({ state }) => state === "Running")
        const second = yield* one.submit({})
        const change = (options: Parameters<typeof scheduler.change>[1], run = second) =>
          Effect.flip(scheduler.change(run, options))
        assert.deepInclude(yield* change({}), { _tag: "Refused", field: "change" })
        assert.deepInclude(yield* change({ deadline: 0 }), { _tag: "Refused", field: "deadline" })
        assert.deepInclude(yield* change({ deadline: 50, revision: 4 }), {
          _tag: "RunChanged",
          revision: 1,
        })
        assert.deepInclude(yield* change({ deadline: 50 }, first), {
          _tag: "OrderRefused",
          state: "Running",
        })
        yield* scheduler.change(first, { level: 0, by: "Ada" })
        assert.deepInclude(yield* scheduler.find(first), {
          level: 0,
          state: "Running",
          revision: 2,
        })
        yield* scheduler.change(second, { deadline: 50, revision: 1, by: "Ada" })
        assert.deepInclude(yield* scheduler.find(second), { revision: 2 })
        assert.strictEqual((yield* scheduler.ended(second)).state, "Expired")
        assert.deepInclude(yield* change({ deadline: null }), { state: "Expired" })
        yield* Deferred.succeed(go, undefined)
        yield* scheduler.ended(first)
      }))

    test("I9 slot accounting, I10 timeliness: a trigger fires at each of its slots, once, and not early", () =>
      Effect.gen(function* () {
        const slots: Array<number> = []
        const { now } = yield* Storage
        const tick = Task.make("tick")
        yield* serving(
          tick.toLayer(() =>
            Effect.gen(function* () {
              const { slot } = yield* CurrentRun
              assert.isAtLeast(yield* Effect.orDie(now), slot!)
              slots.push(slot!)
            })
          ),
        )
        yield* Layer.build(tick.schedule("every-second", Trigger.cron("* * * * * *"), {}))
        yield* until(Effect.sync(() => slots.length), (count) => count >= 3)
        const sorted = slots.toSorted((a, b) => a - b)
        assert.deepStrictEqual(sorted, sorted.map((_, at) => sorted[0]! + 1000 * at))
        const namespace = yield* CurrentNamespace
        const triggers = yield* Triggers
        yield* triggers.pause(namespace, "every-second")
        const records = yield* triggers.records(namespace, "every-second", 100)
        assert(records.every(({ outcome }) => outcome === "fired"))
        for (const { latenessMillis } of records) {
          assert.isAtLeast(latenessMillis, 0)
          assert.isBelow(latenessMillis, 10_000)
        }
        const runs = yield* Scheduler.use(({ list }) => list({ namespace, limit: 100 }))
        assert.sameMembers(records.map(({ run }) => run), runs.map(({ id }) => id))
        assert.sameMembers(
          records.map(({ slot }) => slot),
          runs.map(({ slot }) => DateTime.toEpochMillis(slot!)),
        )
      }))

    test("fires by a calendar, and follows it when it changes", () =>
      Effect.gen(function* () {
        const { calendars, records } = yield* Triggers
        const namespace = yield* CurrentNamespace
        const slots: Array<number> = []
        const tick = Task.make("tick")
        yield* serving(
          tick.toLayer(() => CurrentRun.use(({ slot }) => Effect.sync(() => slots.push(slot!)))),
        )
        const now = yield* Clock.currentTimeMillis
        const holidays = [0, 1].map((days) => dateOf(Math.floor(now / 86_400_000) + days))
        yield* Layer.build(
          tick.schedule("workdays", Trigger.cron("* * * * * *", { calendar: "office" }), {}).pipe(
            Layer.provide(Calendar.keep({ name: "office", rest: [], holidays })),
          ),
        )
        yield* Effect.sleep("1500 millis")
        assert.deepStrictEqual(yield* records(namespace, "workdays", 10), [])
        yield* calendars.put({ namespace, name: "office", rest: [] })
        yield* until(Effect.sync(() => slots.length), (count) => count >= 2)
        yield* calendars.put({ namespace, name: "office", rest: [], holidays })
        const last = (yield* records(namespace, "workdays", 1))[0]!.slot
        yield* Effect.sleep("1500 millis")
        assert.isAtMost((yield* records(namespace, "workdays", 1))[0]!.slot, last + 1000)
      }))

    test("fires until the end, and keeps a trigger that is over when it is brought again", () =>
      Effect.gen(function* () {
        const { list, records } = yield* Triggers
        const namespace = yield* CurrentNamespace
        const now = yield* Clock.currentTimeMillis
        const last = (Math.ceil(now / 1000) + 1) * 1000
        const tick = Task.make("tick")
        const ending = (end: number) =>
          tick.schedule("ending", Trigger.cron("* * * * * *", { end: new Date(end) }), {})
        yield* Layer.build(Layer.fresh(ending(last + 1)))
        const [over] = yield* until(list(namespace), ([view]) => view?.cursor === undefined)
        assert.strictEqual((yield* records(namespace, "ending", 10))[0]!.slot, last)
        yield* Effect.sleep("50 millis")
        yield* Layer.build(Layer.fresh(ending(last + 1)))
        assert.deepEqual(yield* list(namespace), [over!])
        const other = yield* Effect.flip(Layer.build(Layer.fresh(ending(last))))
        assert.strictEqual(other._tag, "Refused")
      }))

    test("lets the run of a slot wait for its jitter, the slot stays what it is", () =>
      Effect.gen(function* () {
        const started: Array<readonly [slot: number, run: RunId]> = []
        const tick = Task.make("tick")
        yield* serving(
          tick.toLayer(() =>
            CurrentRun.use(({ id, slot }) => Effect.sync(() => started.push([slot!, id])))
          ),
        )
        const schedule = Trigger.cron("* * * * * *", { jitter: "900 millis" })
        yield* Layer.build(tick.schedule("spread", schedule, {}))
        yield* until(Effect.sync(() => started.length), (count) => count >= 3)
        const definition = {
          namespace: yield* CurrentNamespace,
          name: "spread" as TriggerName,
          schedule,
        }
        for (const [slot, run] of started) {
          const due = dueOf(definition, slot, slot + 1000)
          const { dueAt } = yield* state(run)
          assert.strictEqual(slot % 1000, 0)
          assert.isAtLeast(DateTime.toEpochMillis(dueAt), due)
        }
      }))

    test("I14 DAG: a child starts only after its parent succeeded, once, with the parent's id on it", () =>
      Effect.gen(function* () {
        const namespace = yield* CurrentNamespace
        const parent = Task.make("parent", { payload: { isGood: Schema.Boolean } })
        const child = Task.make("child", { payload: { note: Schema.String } })
        const seen: Array<string> = []
        yield* serving(Layer.merge(
          parent.toLayer(({ isGood }) => isGood ? Effect.void : Effect.die(new Error("bad"))),
          child.toLayer(({ note }) => Effect.sync(() => seen.push(note))),
        ))
        yield* Layer.build(child.schedule("behind", Trigger.after(parent), { note: "it is done" }))
        const bad = yield* parent.submit({ isGood: false })
        yield* Effect.exit(parent.result(bad))
        const good = yield* Effect.forEach(
          Array.from({ length: 5 }, () => ({ isGood: true })),
          (payload) => parent.submit(payload),
        )
        yield* until(Effect.sync(() => seen.length), (count) => count >= 5)
        yield* Effect.sleep("100 millis")
        assert.deepStrictEqual(seen, Array.from({ length: 5 }, () => "it is done"))
        const children = yield* Scheduler.use(({ list }) =>
          list({ namespace, task: child.name, limit: 100 })
        )
        assert.sameMembers(children.map(({ after }) => after!), good)
        for (const { after, createdAt, trigger } of children) {
          assert.strictEqual(trigger, "behind" as TriggerName)
          const { finishedAt } = yield* state(after!)
          assert.isAtLeast(createdAt.epochMilliseconds, finishedAt!.epochMilliseconds)
        }
        const records = yield* Triggers.use((triggers) =>
          triggers.records(namespace, "behind", 100)
        )
        assert.deepStrictEqual(
          records.map(({ after, outcome, run }) => `${after?.state} ${outcome} ${run}`).sort(),
          children.map(({ id }) => `Succeeded fired ${id}`).sort(),
        )
      }))

    test("passes on a result that is as it must be, or an event, at once", () =>
      Effect.gen(function* () {
        const namespace = yield* CurrentNamespace
        const order = Task.make("order", {
          payload: { total: Schema.Int },
          success: Schema.Struct({ total: Schema.Int }),
          error: TooSmall,
        })
        const ship = Task.make("ship", { payload: { total: Schema.Int } })
        const tellOf = Task.make("tell", { payload: { run: Schema.String, state: Schema.String } })
        const shipped: Array<number> = []
        const told: Array<string> = []
        yield* serving(Layer.mergeAll(
          order.toLayer(({ total }) =>
            total > 0 ? Effect.succeed({ total }) : Effect.fail(new TooSmall({ least: 1 }))
          ),
          ship.toLayer(({ total }) => Effect.sync(() => shipped.push(total))),
          tellOf.toLayer(({ run, state }) => Effect.sync(() => told.push(`${run} ${state}`))),
        ))
        yield* Layer.build(Layer.mergeAll(
          ship.schedule(
            "large",
            Trigger.after(order, {
              when: [{ at: "/total", is: "at least", to: 10 }],
              passing: "result",
            }),
          ),
          tellOf.schedule("failed", Trigger.after(order, { on: "failure", passing: "event" })),
        ))
        const began = yield* Clock.currentTimeMillis
        for (const total of [10, 11, 12, 13]) {
          yield* order.submit({ total })
          yield* until(Effect.sync(() => shipped.length), (count) => count === total - 9)
        }
        const millis = (yield* Clock.currentTimeMillis) - began
        // Nobody waits for a poll, which comes once a second.
        assert.isBelow(millis, 3000)
        yield* order.execute({ total: 3 })
        const bad = yield* order.submit({ total: 0 })
        yield* until(Effect.sync(() => told.length), (count) => count === 1)
        assert.deepStrictEqual(shipped, [10, 11, 12, 13])
        assert.deepStrictEqual(told, [`${bad} Failed`])
        const records = yield* until(
          Triggers.use((triggers) => triggers.records(namespace, "large", 100)),
          ({ length }) => length === 5,
        )
        assert.deepInclude(records.find(({ outcome }) => outcome === "skipped")!, {
          reason: "not so: /total is at least 10",
        })
      }))

    test("fires nothing of a trigger that follows while it is paused, and says so", () =>
      Effect.gen(function* () {
        const namespace = yield* CurrentNamespace
        const { pause, put, records, resume } = yield* Triggers
        const step = Task.make("step")
        const next = Task.make("next")
        let count = 0
        yield* serving(Layer.merge(
          step.toLayer(() => Effect.void),
          next.toLayer(() => Effect.sync(() => count++)),
        ))
        yield* Layer.build(next.schedule("behind", Trigger.after("step", { on: "any" }), {}))
        yield* pause(namespace, "behind")
        yield* step.execute({})
        const [skipped] = yield* until(
          records(namespace, "behind", 9),
          ({ length }) => length === 1,
        )
        assert.deepInclude(skipped!, { outcome: "skipped", reason: "its trigger was paused" })
        yield* resume(namespace, "behind")
        yield* step.execute({})
        yield* until(Effect.sync(() => count), (each) => each === 1)
        const circle = {
          namespace,
          name: "circle",
          task: "step",
          schedule: Trigger.after("step"),
          payload: "{}",
        }
        const refused = yield* Effect.flip(put(circle))
        assert.deepInclude(refused, { _tag: "Refused", field: "schedule.after" })
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

    test("B65: a run waits, and says why, until somebody is there who serves its task", () =>
      Effect.gen(function* () {
        const before = Task.make("before")
        const alone = Task.make("alone", { success: Schema.String })
        const old = before.toLayer(() => Effect.void)
        yield* serving(old, { name: "old" })
        const run = yield* alone.submit({})
        const why = yield* Scheduler.use((scheduler) => scheduler.why(run))
        assert.deepStrictEqual(why, { _tag: "NoExecutor", task: alone.name })
        yield* before.execute({})
        assert.deepInclude(yield* state(run), { state: "Ready", attempt: 0 })
        yield* serving(Layer.merge(old, alone.toLayer(() => Effect.succeed("new"))), {
          name: "new",
        })
        const runs = yield* Effect.forEach(times(20), () => alone.submit({}))
        for (const each of [run, ...runs]) {
          assert.strictEqual(yield* alone.result(each), "new")
          assert.strictEqual((yield* state(each)).attempt, 1)
        }
      }))

    test("I25 placement: a run is kept for an executor with the labels that its task asks for", () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const render = Task.make("render", {
          payload: { n: Schema.Int },
          policy: { selector: "gpu, region in (eu, us)" },
        })
        const executor = (name: string, labels: Record<string, string>) =>
          serving(render.toLayer(() => Effect.sync(() => seen.push(name))), { name, labels })
        yield* executor("plain", {})
        yield* executor("elsewhere", { gpu: "a100", region: "ap" })
        const first = yield* render.submit({ n: 1 })
        const scheduler = yield* Scheduler
        const why = yield* until(scheduler.why(first), ({ _tag }) => _tag === "NoneMatches")
        assert.include(JSON.stringify(why), "gpu,region in (eu,us)")
        const namespace = yield* CurrentNamespace
        const triggers = yield* Triggers
        const soon = Trigger.at(new Date((yield* (yield* Storage).now) + 300))
        yield* Layer.build(render.schedule("soon", soon, { n: 2 }))
        yield* until(
          triggers.records(namespace, "soon", 1),
          ([record]) => record?.outcome === "fired",
        )
        assert.deepStrictEqual(seen, [])
        yield* executor("right", { gpu: "a100", region: "eu" })
        yield* render.result(first)
        yield* until(Effect.sync(() => seen.length), (count) => count === 2)
        yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          (n) => render.execute({ n }),
          { concurrency: 20 },
        )
        assert.deepStrictEqual(new Set(seen), new Set(["right"]))
      }))

    test("carries runs out that were submitted before their task had a selector", () =>
      Effect.gen(function* () {
        const before = Task.make("narrowed", { success: Schema.String })
        const run = yield* before.submit({})
        const after = Task.make("narrowed", {
          success: Schema.String,
          policy: { selector: "gpu" },
        })
        yield* serving(after.toLayer(() => Effect.succeed("done")), { labels: { gpu: "a100" } })
        assert.strictEqual(yield* after.result(run), "done")
      }))

    test("tries again what the policy covers, and nothing else", () =>
      Effect.gen(function* () {
        const attempts = { Flaky: 0, Broken: 0 }
        const picky = Task.make("picky", {
          payload: { tag: Schema.Literals(["Flaky", "Broken"]) },
          policy: {
            retry: Retry.exponential({
              attempts: 3,
              delayMillis: 1,
              errors: Retry.only("Flaky"),
            }),
          },
        })
        yield* serving(picky.toLayer(({ tag }) =>
          Effect.suspend(() => {
            attempts[tag]++
            return Effect.die({ _tag: tag })
          })
        ))
        for (const tag of ["Flaky", "Broken"] as const) {
          yield* Effect.flip(picky.execute({ tag }))
        }
        assert.deepStrictEqual(attempts, { Flaky: 3, Broken: 1 })
      }))

    test("B63: at a shutdown running work is given back, and another executor goes on", () =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const task = Task.make("handed-over", { success: Schema.Int })
        let begun = 0
        const first = yield* Effect.forkChild(Effect.scoped(Effect.andThen(
          serving(
            task.toLayer(() => {
              begun++
              return Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
            }),
            { drainTimeout: "400 millis" },
          ),
          Effect.never,
        )))
        const run = yield* task.submit({})
        yield* Deferred.await(started)
        // As a signal does it: what is being interrupted still has to say goodbye.
        const ending = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
        yield* Effect.sleep("100 millis")
        const later = yield* task.submit({})
        yield* Fiber.join(ending)
        assert.strictEqual(begun, 1, "it takes nothing while it drains")
        assert.strictEqual((yield* state(later)).state, "Ready")
        yield* serving(task.toLayer(() => CurrentRun.use(({ attempt }) => Effect.succeed(attempt))))
        // An interruption by shutdown is no attempt.
        assert.strictEqual(yield* task.result(run), 1)
        assert.strictEqual(yield* task.result(later), 1)
        const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
        const kinds = events.map(({ kind }) => kind)
        assert.include(kinds, "Released", "and not when its lease had ended")
        assert.notInclude(kinds, "Lost")
        const [released, ended] = ["Released", "Succeeded"].map((kind) =>
          events.find((event) => event.kind === kind)!.at.epochMilliseconds
        )
        assert.isBelow(ended! - released!, 2000)
      }))

    test("lets running work finish when it shuts down", () =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const task = Task.make("finishing", { success: Schema.String })
        const scope = yield* Scope.make()
        yield* Scope.provide(
          serving(task.toLayer(() =>
            Deferred.succeed(started, undefined).pipe(
              Effect.andThen(Effect.sleep("200 millis")),
              Effect.as("done"),
            )
          )),
          scope,
        )
        const run = yield* task.submit({})
        yield* Deferred.await(started)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* state(run)).state, "Succeeded")
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

    test("starts no more runs of a task than its rate limit lets, and says why", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const done: Array<number> = []
        const limited = Task.make(fresh("limited"), {
          payload: { n: Schema.Int },
          policy: { rateLimit: { limit: 3, perMillis: 3_600_000 } },
        })
        const handler = limited.toLayer(({ n }) => Effect.sync(() => done.push(n)))
        yield* serving(handler)
        yield* serving(handler)
        const runs = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => limited.submit({ n }))
        yield* until(Effect.sync(() => done.length), (count) => count === 3)
        const left = yield* until(
          Effect.filter(
            runs,
            (run) => Effect.map(scheduler.find(run), ({ state }) => state === "Ready"),
          ),
          ({ length }) => length === 2,
        )
        for (const run of left) {
          const reason = yield* scheduler.why(run)
          assert.strictEqual(reason._tag, "RateLimited")
          assert.strictEqual((yield* state(run)).attempt, 0)
        }
      }))

    test("an actor takes one message of a key at a time, in order, and its state counts each once", () =>
      Effect.gen(function* () {
        const tries = new Map<string, number>()
        let underWay = 0
        const log = Actor.make(fresh("log"), {
          state: Schema.Array(Schema.Int),
          initial: [],
          messages: {
            note: { payload: { n: Schema.Int } },
            read: { success: Schema.Array(Schema.Int) },
            refuse: { error: TooSmall },
          },
          policy: { retry: Retry.exponential({ attempts: 3, delayMillis: 50, jitter: 0 }) },
        })
        const live = log.toLayer({
          note: (state, { n }) =>
            Effect.gen(function* () {
              assert.strictEqual(++underWay, 1)
              yield* Effect.yieldNow
              underWay--
              const tried = (tries.get(`${n}`) ?? 0) + 1
              tries.set(`${n}`, tried)
              // What was decided about the state goes with the attempt.
              if (n % 5 === 0 && tried === 1) return yield* Effect.die(new Error("not yet"))
              return [[...state, n], undefined] as const
            }),
          read: (state) => Effect.succeed([state, state] as const),
          refuse: () => Effect.fail(new TooSmall({ least: 7 })),
        })
        yield* serving(live)
        yield* serving(live)
        const numbers = Array.from({ length: 12 }, (_, n) => n)
        yield* Effect.forEach(numbers, (n) => log.tell("a", "note", { n }))
        const refused = yield* Effect.flip(log.ask("a", "refuse", {}))
        assert.instanceOf(refused, TooSmall)
        assert.deepEqual(yield* log.ask("a", "read", {}), numbers)
        assert.deepEqual(yield* log.ask("b", "read", {}), [])
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

    test("I24 breaker: while it is open runs wait where they are, few probe, and then all go on", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const breakers = yield* Breakers
        const breaker = fresh("gateway")
        yield* breakers.set(breaker, { callsMin: 4, openFor: "1 hour" })
        let isDown = true
        let calls = 0
        const send = Task.make(fresh("send"), { policy: { breaker } })
        yield* serving(send.toLayer(() =>
          Effect.suspend(() => {
            calls++
            return isDown ? Effect.die(new Error("the gateway is down")) : Effect.void
          })
        ))
        const first = yield* Effect.forEach([1, 2, 3, 4], () => send.submit({}))
        for (const run of first) yield* scheduler.ended(run)
        yield* until(breakers.find(breaker), ({ state }) => state === "Open")
        const later = yield* Effect.forEach([1, 2, 3], () => send.submit({}))
        for (const run of later) {
          const reason = yield* scheduler.why(run)
          assert.strictEqual(reason._tag, "BreakerOpen")
        }
        yield* Effect.sleep("300 millis")
        assert.strictEqual(calls, 4)
        isDown = false
        yield* breakers.order(breaker, "closed", { note: "it is up again" })
        for (const run of later) {
          const { attempt, state } = yield* scheduler.ended(run)
          assert.deepEqual([state, attempt], ["Succeeded", 1])
        }
        // By itself it tries with few, opens again when they fail, and closes when they go well.
        const other = fresh("gateway")
        yield* breakers.set(other, {
          callsMin: 2,
          openFor: "300 millis",
          probes: 1,
          probeEvery: "100 millis",
        })
        const called: Array<number> = []
        const probing = Task.make(fresh("probing"), { policy: { breaker: other } })
        yield* serving(probing.toLayer(() =>
          Effect.suspend(() => {
            const isDownStill = called.push(performance.now()) <= 4
            return isDownStill ? Effect.die(new Error("the gateway is down")) : Effect.void
          })
        ))
        for (const _ of [1, 2]) yield* scheduler.ended(yield* probing.submit({}))
        yield* until(breakers.find(other), ({ state }) => state === "Open")
        const began = performance.now()
        const runs = yield* Effect.forEach(times(12), () => probing.submit({}))
        const ends = yield* Effect.forEach(runs, scheduler.ended)
        // The first probe may come at once, if it took as long to get here.
        assert.isAtLeast(called[3]! - began, 300)
        assert.strictEqual(ends.filter(({ state }) => state === "Failed").length, 2)
        assert.strictEqual((yield* breakers.find(other)).state, "Closed")
      }))

    test("tries again only within the time that its policy gives from when the run was due", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const begun: Array<number> = []
        const withinMillis = 600
        const hopeless = Task.make(fresh("hopeless"), {
          policy: {
            retry: Retry.exponential({
              ...{ attempts: 1000, delayMillis: 60, growth: 1, jitter: 0 },
              withinMillis,
            }),
          },
        })
        yield* serving(hopeless.toLayer(() =>
          Effect.suspend(() => {
            begun.push(performance.now())
            return Effect.die(new Error("it never works"))
          })
        ))
        const submitted = performance.now()
        const view = yield* scheduler.ended(yield* hopeless.submit({}))
        assert.strictEqual(view.state, "Failed")
        assert.isAbove(begun.length, 1)
        assert.isAtMost(begun.length, 1 + withinMillis / 60)
        // What it learns is as old as the answer to a claim.
        assert.isAtMost(begun.at(-1)! - submitted, withinMillis + 500)
      }))

    test("I24 breaker, by key: one key that fails holds up no other, and burns no attempt", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const breakers = yield* Breakers
        const breaker = fresh("gateway")
        yield* breakers.set(breaker, { callsMin: 4, openFor: "1 hour" })
        let isDown = true
        const calls = new Map<string, number>()
        const places = 2
        const send = Task.make(fresh("send"), {
          payload: { account: Schema.String },
          policy: {
            breaker: { name: breaker, by: "key" },
            blocking: Blocking.concurrent(places),
            blockingKey: ({ account }) => account,
          },
        })
        yield* serving(send.toLayer(({ account }) =>
          Effect.suspend(() => {
            calls.set(account, (calls.get(account) ?? 0) + 1)
            return isDown && account === "bad" ? Effect.die(new Error("it is down")) : Effect.void
          })
        ))
        const submits = (account: string, count: number) =>
          Effect.forEach(times(count), () => send.submit({ account }))
        const first = yield* submits("bad", 4)
        for (const run of first) yield* scheduler.ended(run)
        const bad = { name: breaker, key: "bad" }
        yield* until(breakers.find(bad), ({ state }) => state === "Open")
        const waiting = yield* submits("bad", 5)
        const others = [...yield* submits("good", 5), ...yield* submits("better", 5)]
        for (const run of others) {
          assert.deepInclude(yield* scheduler.ended(run), { state: "Succeeded", attempt: 1 })
        }
        // Those that hold the places of the key are postponed, and the others wait behind them.
        for (const run of [waiting[0]!, waiting.at(-1)!]) {
          const reason = yield* until(
            scheduler.why(run),
            ({ _tag }) => _tag === "BreakerOpen",
          )
          if (reason._tag !== "BreakerOpen") return assert.fail(reason._tag)
          assert.deepInclude(reason, { breaker, key: "bad" })
          assert.isAbove(
            DateTime.toEpochMillis(reason.until!),
            yield* Storage.use(({ now }) => now),
          )
        }
        yield* until(
          Effect.forEach(waiting, state),
          (views) => views.filter(({ state }) => state === "Scheduled").length === places,
        )
        assert.strictEqual(calls.get("bad"), 4)
        assert.deepEqual((yield* breakers.keys(breaker)).map(({ key }) => key), ["bad"])
        isDown = false
        yield* breakers.order(bad, "closed", { note: "it is up again" })
        for (const run of waiting) {
          assert.deepInclude(yield* scheduler.ended(run), {
            state: "Succeeded",
            attempt: 1,
            crashes: 0,
          })
        }
        assert.strictEqual(calls.get("bad"), 4 + waiting.length)
      }))

    test("I24 breaker, by key: each tries by itself with few, and closes when they go well", () =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const breakers = yield* Breakers
        const breaker = fresh("gateway")
        yield* breakers.set(breaker, {
          callsMin: 2,
          openFor: "300 millis",
          probes: 1,
          probeEvery: "200 millis",
        })
        let isDown = true
        let calls = 0
        const places = 2
        const send = Task.make(fresh("send"), {
          payload: { account: Schema.String },
          policy: {
            breaker: { name: breaker, by: "key" },
            blocking: Blocking.concurrent(places),
            blockingKey: ({ account }) => account,
          },
        })
        yield* serving(send.toLayer(() =>
          Effect.suspend(() => {
            calls++
            return isDown ? Effect.die(new Error("it is down")) : Effect.void
          })
        ))
        const began = performance.now()
        const more = yield* Effect.forEach(times(12), () => send.submit({ account: "bad" }))
        yield* until(Effect.sync(() => calls), (count) => count >= 4)
        // As many as open it or are under way then, and one probe each time.
        const tries = 1 + (performance.now() - began) / 300
        assert.isAtMost(calls, 2 + places + tries)
        isDown = false
        const ends = yield* Effect.forEach(more, scheduler.ended)
        assert.strictEqual(
          ends.filter(({ state }) => state === "Failed").length,
          calls - ends.filter(({ state }) => state === "Succeeded").length,
        )
        assert.deepEqual(ends.filter(({ attempt }) => attempt !== 1), [])
        yield* until(
          breakers.find({ name: breaker, key: "bad" }),
          ({ state }) => state === "Closed",
        )
      }))

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
  })
}

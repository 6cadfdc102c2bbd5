/** What is told of a run: as it comes, while it runs, and afterwards. */
import { assert } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import * as Retry from "../../domain/Retry.ts"
import { RunId } from "../../domain/RunId.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { serving, state, type Test, until } from "../program.ts"

export const told = (test: Test): void => {
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
}

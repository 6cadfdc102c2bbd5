import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Duration, Effect, Exit, Layer, Random, Ref, Schema } from "effect"
import * as Blocking from "../core/domain/Blocking.ts"
import { standard } from "../core/domain/Namespace.ts"
import * as Retry from "../core/domain/Retry.ts"
import { CurrentRun } from "../core/engine/CurrentRun.ts"
import { Loops, Watch } from "../core/engine/Loops.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import * as Task from "../core/engine/Task.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Storage } from "../core/services/Storage.ts"
import { Testing, type TestingOptions } from "./Testing.ts"

const Plain = Task.make("plain", { payload: { n: Schema.Int }, success: Schema.Int })

const inTest = <A, E, R, E2, R2>(
  body: Effect.Effect<A, E, R>,
  program: Layer.Layer<never, E2, R2>,
  options: TestingOptions = {},
) => Effect.provide(body, Layer.provideMerge(program, Testing.layerWith(options)))

const now = Effect.map(Testing.use((testing) => testing.now), DateTime.formatIso)
const advance = (duration: string) => Testing.use((testing) => testing.advance(duration as "1 day"))

describe("in virtual time", () => {
  it.live("a month of three schedules fires each slot at its instant, and runs it", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("30 days")
        for (const [name, count] of [["daily", 30], ["hourly", 720], ["often", 8640]] as const) {
          const slots = yield* testing.slots(name)
          assert.strictEqual(slots.length, count, name)
          assert.isTrue(
            slots.every(({ latenessMillis, outcome }) =>
              outcome === "fired" && latenessMillis === 0
            ),
            name,
          )
        }
        const runs = yield* testing.runs(Plain)
        assert.strictEqual(runs.length, 9390)
        assert.deepStrictEqual([...new Set(runs.map(({ state }) => state))], ["Succeeded"])
      }),
      Layer.mergeAll(
        Plain.toLayer(({ n }) => Effect.succeed(n)),
        Plain.schedule("daily", Trigger.cron("0 3 * * *", { zone: "Asia/Shanghai" }), { n: 1 }),
        Plain.schedule("hourly", Trigger.cron("0 * * * *"), { n: 2 }),
        Plain.schedule("often", Trigger.every("5 minutes"), { n: 3 }),
      ),
    ), 120_000)

  it.live("the first slot fires by the policy of its task, although nobody serves it", () => {
    const only = Task.make("only", { policy: { blocking: Blocking.discard } })
    return inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("3 hours")
        const runs = yield* testing.runs(only)
        assert.deepStrictEqual(runs.map(({ state }) => state), ["Ready", "Discarded", "Discarded"])
      }),
      only.schedule("hourly", Trigger.cron("0 * * * *"), {}),
    )
  })

  it.live("nobody looks again and again while nothing is due for a month", () => {
    const turns = new Map<string, number>()
    const watch = new (class extends Watch {
      override readonly over: Watch["over"] = (name, _everyMillis, body) =>
        body(Effect.sync(() => turns.set(name, (turns.get(name) ?? 0) + 1)))
    })()
    return inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("30 days")
        assert.isAtMost(Math.max(...turns.values()), 4 * 30)
        assert.isAtLeast(turns.size, 5)
        const runs = yield* testing.runs(Plain)
        assert.strictEqual(runs.length, 30)
        for (const { finishedAt, slot } of runs) {
          assert.strictEqual(DateTime.toEpochMillis(finishedAt!), DateTime.toEpochMillis(slot!))
        }
        // It has kept its lease.
        const executors = yield* (yield* Storage).executors.list(standard)
        assert.deepStrictEqual(executors.map(({ standing }) => standing), ["live"])
      }),
      Layer.merge(
        Plain.toLayer(({ n }) => Effect.succeed(n)),
        Plain.schedule("nightly", Trigger.cron("0 3 * * *"), { n: 1 }),
      ),
    ).pipe(Effect.provideService(Loops, watch))
  })

  it.live("what is due is seen at its instant: timeouts, deadlines, and what is kept no longer", () => {
    const Slow = Task.make("slow", { policy: { timeout: "95 seconds" } })
    const Nobody = Task.make("nobody", { policy: { deadlineMillis: 420_000 } })
    return inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        assert.include((yield* Effect.flip(Slow.execute({}))).message, "TimedOut")
        assert.strictEqual(yield* now, "2030-01-01T00:01:35.000Z")
        assert.include((yield* Effect.flip(Nobody.execute({}))).message, "Expired")
        assert.strictEqual(yield* now, "2030-01-01T00:08:35.000Z")
        yield* testing.advance("29 days")
        assert.strictEqual((yield* testing.runs()).length, 2)
        yield* testing.advance("1 day")
        assert.strictEqual((yield* testing.runs()).length, 0)
      }),
      Slow.toLayer(() => Effect.sleep("1 hour")),
    )
  })

  it.live("execute moves time until the run has ended, and no further", () =>
    inTest(
      Effect.gen(function* () {
        assert.strictEqual(yield* now, "2030-01-01T00:00:00.000Z")
        assert.strictEqual(yield* Plain.execute({ n: 7 }, { delay: "1 hour" }), 7)
        assert.strictEqual(yield* now, "2030-01-01T01:10:00.000Z")
      }),
      Plain.toLayer(({ n }) => Effect.as(Effect.sleep("10 minutes"), n)),
    ))

  it.live("two who wait at once both get their answer", () =>
    inTest(
      Effect.gen(function* () {
        const answers = yield* Effect.all([
          Plain.execute({ n: 1 }, { delay: "1 minute" }),
          Plain.execute({ n: 2 }, { delay: "3 hours" }),
          Plain.execute({ n: 3 }),
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(answers, [1, 2, 3])
      }),
      Plain.toLayer(({ n }) => Effect.succeed(n)),
    ))

  it.live("N19: eight minutes of work take two in four shards", () => {
    const Divisible = Task.make("divisible")
    const minutes = (count: number) =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const submission = yield* Divisible.submission({})
        const { run } = yield* scheduler.submitSharded(submission, { count })
        yield* advance("1 hour")
        const view = yield* scheduler.find(run)
        assert.strictEqual(view.state, "Succeeded")
        const { createdAt, finishedAt } = view
        return (DateTime.toEpochMillis(finishedAt!) - DateTime.toEpochMillis(createdAt)) / 60_000
      })
    return inTest(
      Effect.gen(function* () {
        const alone = yield* minutes(1)
        assert.isAtLeast(alone, 8)
        assert.isAtMost((yield* minutes(4)) / alone, 0.26)
      }),
      Divisible.toLayer(() =>
        CurrentRun.use(({ shard }) => Effect.sleep(Duration.minutes(8 / shard!.count)))
      ),
      { concurrency: 4 },
    )
  })

  it.live("a handler may wait for another run", () => {
    const Parent = Task.make("parent", { success: Schema.Int })
    return inTest(
      Effect.gen(function* () {
        assert.strictEqual(yield* Parent.execute({}), 5)
        assert.strictEqual(yield* now, "2030-01-01T02:00:00.000Z")
        // It waits, and moves no time: that is the test's to do.
        yield* Parent.submit({})
        yield* advance("30 minutes")
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        assert.strictEqual(yield* now, "2030-01-01T02:30:00.000Z")
      }),
      Layer.merge(
        Parent.toLayer(() => Effect.orDie(Plain.execute({ n: 5 }))),
        Plain.toLayer(({ n }) => Effect.as(Effect.sleep("2 hours"), n)),
      ),
    )
  })

  it.live("retries come after their delays, drawn from the seed, and time out", () => {
    const Doomed = Task.make("doomed", {
      policy: {
        timeout: "30 seconds",
        retry: Retry.exponential({ attempts: 3, delayMillis: 60_000, growth: 2, jitter: 0.5 }),
      },
    })
    const starts = (seed: number) =>
      Effect.gen(function* () {
        const at = yield* Ref.make<Array<number>>([])
        return yield* inTest(
          Effect.gen(function* () {
            const exit = yield* Effect.exit(Doomed.execute({}))
            assert.isTrue(Exit.isFailure(exit))
            const [run] = yield* Testing.use((testing) => testing.runs(Doomed))
            assert.strictEqual(run?.state, "TimedOut")
            assert.strictEqual(run?.attempt, 3)
            return yield* Ref.get(at)
          }),
          Doomed.toLayer(() =>
            Effect.gen(function* () {
              const millis = DateTime.toEpochMillis(yield* DateTime.now)
              yield* Ref.update(at, (all) => [...all, millis])
              yield* Effect.sleep("1 hour")
            })
          ),
          { seed },
        )
      })
    return Effect.gen(function* () {
      const all = yield* starts(1)
      const [first = 0, second = 0, third = 0] = all
      assert.isAtLeast(second - first, 90_000)
      assert.isAtMost(second - first, 120_000)
      assert.isAtLeast(third - second, 150_000)
      assert.deepStrictEqual(yield* starts(1), all)
      assert.notDeepEqual(yield* starts(2), all)
    })
  })

  it.live("stands still while a handler awaits something real", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("1 hour")
        const runs = yield* testing.runs(Plain)
        assert.deepStrictEqual(
          runs.map(({ finishedAt, slot }) =>
            DateTime.toEpochMillis(finishedAt!) - DateTime.toEpochMillis(slot!)
          ),
          [0, 0, 0, 0],
        )
      }),
      Layer.merge(
        Plain.toLayer(({ n }) =>
          Effect.promise(() => new Promise((resolve) => setTimeout(() => resolve(n), 20)))
        ),
        Plain.schedule("quarterly", Trigger.cron("*/15 * * * *"), { n: 1 }),
      ),
    ))

  it.live("time stands still for a hook that awaits something real", () => {
    const Undone = Task.make("undone")
    const real = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    return inTest(
      Effect.gen(function* () {
        const error = yield* Effect.flip(Undone.execute({}))
        assert.include(error.message, "no luck")
        assert.strictEqual(yield* now, "2030-01-01T00:00:00.000Z")
      }),
      Undone.toLayer(() => Effect.die(new Error("no luck")), {
        prepare: () => real,
        rollback: () => real,
        clean: () => real,
        summary: () => Effect.as(real, "it is over"),
      }),
    )
  })

  it.live("goes on without a handler that never answers", () => {
    const Stuck = Task.make("stuck", { policy: { timeout: "10 minutes" } })
    return inTest(
      Effect.gen(function* () {
        const error = yield* Effect.flip(Stuck.execute({}))
        assert.include(error.message, "TimedOut")
        assert.strictEqual(yield* now, "2030-01-01T00:10:00.000Z")
      }),
      Stuck.toLayer(() => Effect.never),
      { patience: "20 millis" },
    )
  })

  it.live("an outage coalesces the slots it swallows, and starts runs again that it cut", () => {
    const Slow = Task.make("slow", { success: Schema.Int })
    return inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        const run = yield* Slow.submit({})
        yield* testing.advance("90 minutes")
        yield* testing.outage("3 hours")
        yield* testing.advance("1 hour")
        assert.deepStrictEqual((yield* testing.slots("hourly")).map(({ outcome }) => outcome), [
          "fired",
          "coalesced",
          "fired",
          "fired",
        ])
        assert.isAbove(yield* Slow.result(run), 1)
      }),
      Layer.mergeAll(
        Slow.toLayer(() =>
          Effect.andThen(
            Effect.sleep("2 hours"),
            CurrentRun.use(({ fence }) => Effect.succeed(fence)),
          )
        ),
        Plain.toLayer(({ n }) => Effect.succeed(n)),
        Plain.schedule("hourly", Trigger.cron("0 * * * *"), { n: 1 }),
      ),
    )
  })

  it.live("chance is the same for the same seed, in handlers too", () => {
    const Dice = Task.make("dice", { success: Schema.Number })
    const rolled = (seed: string) =>
      inTest(Dice.execute({}), Dice.toLayer(() => Random.next), { seed })
    return Effect.gen(function* () {
      assert.strictEqual(yield* rolled("a"), yield* rolled("a"))
      assert.notStrictEqual(yield* rolled("a"), yield* rolled("b"))
    })
  })

  it.live("who waits for what never ends is told what is going on", () => {
    const Alone = Task.make("alone")
    const Ordered = Task.make("ordered", { policy: { blocking: Blocking.fifo } })
    return inTest(
      Effect.gen(function* () {
        yield* Ordered.submit({})
        yield* Ordered.submit({})
        const exit = yield* Effect.exit(Alone.execute({}))
        assert.isTrue(Exit.isFailure(exit))
        const message = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
        assert.include(message, "has not ended within 86400000 ms of virtual time")
        assert.include(message, "1 d 00:00:00.000 after the start")
        assert.include(message, "task alone: 1 Ready")
        assert.include(message, "no executor serves its task")
        assert.include(message, "waits for 1 that hold its gate")
        assert.include(message, "its handler is at work")
      }),
      Ordered.toLayer(() => Effect.sleep("1000 days")),
    )
  })

  it.live("a trigger and a failed run are in the report", () =>
    inTest(
      Effect.gen(function* () {
        yield* advance("2 hours")
        const report = yield* Testing.use((testing) => testing.report)
        assert.include(report, 'trigger "hourly" of plain: 2 fired; next 2030-01-01T03:00:00.000Z')
        assert.include(report, "task plain: 2 Failed")
        assert.match(report, /run \d+ of plain, Failed, attempt 1: Error: no luck/)
      }),
      Layer.merge(
        Plain.toLayer(() => Effect.die(new Error("no luck"))),
        Plain.schedule("hourly", Trigger.cron("0 * * * *"), { n: 1 }),
      ),
    ))

  it.effect("holds under a test clock too", () =>
    inTest(
      Effect.gen(function* () {
        assert.strictEqual(yield* Plain.execute({ n: 1 }, { delay: "1 day" }), 1)
        assert.strictEqual(yield* now, "2031-03-02T00:00:00.000Z")
      }),
      Plain.toLayer(({ n }) => Effect.succeed(n)),
      { start: "2031-03-01T00:00:00Z", waitAtMost: "2 days" },
    ))

  it.live("refuses a start that is no instant", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.scoped(Layer.build(Testing.layerWith({ start: "next week" }))),
      )
      assert.include(error, { _tag: "Refused", field: "start" })
    }))
})

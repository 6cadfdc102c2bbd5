/**
 * I23: what a process does while the storage is away for an hour, in virtual time.
 *
 * Tried, and caught: a line for each failure.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { times } from "../contract/world.ts"
import * as Retry from "../domain/Retry.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { Transport, TransportUnavailable } from "../services/Transport.ts"
import { CurrentRun } from "./CurrentRun.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const Work = Task.make("work", {
  policy: { retry: Retry.exponential({ attempts: 3, delayMillis: 10 }), timeout: "30 seconds" },
})
const Tick = Task.make("tick")

it.effect(
  "I23 bounded: while the storage is away for an hour a process writes few lines, and keeps no more",
  () =>
    Effect.gen(function* () {
      let isAway = false
      let asked = 0
      let lines = 0
      const last: Array<string> = []
      const counting = Logger.make(({ message }) => {
        lines++
        last.push(String([message].flat()[0]))
      })
      const storage = behind(
        { ...yield* Storage, tables: () => ({ name: "table", open: Effect.never }) },
        (operation, call) =>
          Effect.suspend(() => {
            if (!isAway) return call
            asked++
            return Effect.fail(
              new StorageUnavailable({
                storage: "memory",
                operation,
                cause: new Error("away"),
              }) as never,
            )
          }),
      )
      const transport = behind(
        yield* Transport,
        (operation, call) =>
          Effect.suspend(() => {
            if (!isAway) return call
            asked++
            return Effect.fail(
              new TransportUnavailable({ operation, cause: new Error("away") }) as never,
            )
          }),
      )
      const handlers = Layer.merge(
        Work.toLayer(() =>
          Effect.gen(function* () {
            const { say } = yield* CurrentRun
            for (const _ of times(5)) {
              say("Info", "working")
              yield* Effect.sleep("1 second")
            }
          })
        ),
        Tick.toLayer(() => Effect.void),
      )
      const program = Layer.mergeAll(
        handlers,
        Tick.schedule("secondly", Trigger.cron("* * * * * *"), {}),
      ).pipe(
        Layer.provideMerge(Executor.layerWith({ concurrency: 5, queueLength: 5 })),
        Layer.provideMerge(Layer.provide(
          Layer.merge(Scheduler.layer, Triggers.layer),
          LocalOwnership.layer,
        )),
        Layer.provide(Logger.layer([counting])),
        Layer.provide(Layer.succeed(Storage, storage)),
        Layer.provide(Layer.succeed(Transport, transport)),
      )
      const built = yield* Layer.buildWithScope(program, yield* Scope.make())
      yield* Effect.gen(function* () {
        const executor = yield* Executor
        const runs = []
        for (const _ of times(20)) runs.push(yield* Work.submit({}))
        for (const _ of times(8)) yield* TestClock.adjust("250 millis")
        assert.strictEqual((yield* executor.status).running, 5)
        const before = lines
        isAway = true
        for (const _ of times(60)) {
          yield* TestClock.adjust("1 minute")
          const { queued, running, stuck } = yield* executor.status
          assert.deepStrictEqual([queued, running, stuck], [0, 0, 0])
        }
        const loops = new Set(
          last.slice(before).flatMap((line) => /^could not (.*?)(,|$)/.exec(line)?.[1] ?? []),
        )
        assert.isAtLeast(loops.size, 8, [...loops].join())
        // Ten of each loop, and the executor was lost.
        assert.isAtMost(lines - before, 10 * loops.size + 2)
        assert.isAtMost(asked / 3600, 40, "questions a second")
        isAway = false
        for (const _ of times(200)) yield* TestClock.adjust("6 seconds")
        for (const loop of loops) {
          assert(last.some((line) => line.startsWith(`can ${loop} again`)), loop)
        }
        for (const run of runs) {
          const { state } = yield* Scheduler.use(({ find }) => find(run))
          assert.strictEqual(state, "Succeeded")
        }
      }).pipe(Effect.provide(built))
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(Direct.layer, Memory.layer)),
    ),
  120_000,
)

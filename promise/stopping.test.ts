import { assert, describe, it } from "@effect/vitest"
import { Layer, ManagedRuntime } from "effect"
import { Executor } from "../core/engine/Executor.ts"
import { Retry, task } from "./mod.ts"
import { program } from "./start.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import { Testing } from "../testing/mod.ts"

describe("a handler that does not listen to its signal", () => {
  it("is waited for as long as it may be, then stuck until it ends, and nothing begins beside it before", async () => {
    let starts = 0
    const released = Promise.withResolvers<void>()
    const deaf = task("deaf", {
      policy: { timeout: "1 minute", retry: Retry.exponential({ attempts: 2, delayMillis: 1 }) },
    })
    const handler = deaf.handler(async () => {
      if (++starts === 1) await released.promise
    })
    const runtime = ManagedRuntime.make(
      program([handler]).pipe(
        Layer.provideMerge(Testing.layerWith({ stopTimeout: "20 seconds", patience: "20 millis" })),
      ),
    )
    const advance = (seconds: number) =>
      runtime.runPromise(Testing.use(({ advance }) => advance(`${seconds} seconds`)))
    const pool = () => runtime.runPromise(Executor.use(({ status }) => status))
    try {
      const run = await runtime.runPromise(deaf.core.submit({}))
      const shown = () => runtime.runPromise(Scheduler.use(({ find }) => find(run)))
      await advance(75)
      assert.deepInclude(await pool(), { running: 1, stuck: 0 })
      assert.deepInclude(await shown(), { state: "Running", attempt: 1 })
      assert.strictEqual(starts, 1)
      await advance(15)
      assert.deepInclude(await pool(), { running: 0, stuck: 1 })
      assert.deepInclude(await shown(), { state: "Succeeded", attempt: 2 })
      assert.deepInclude(await pool(), { stuck: 1 }, "it goes on, for however long")
      await advance(60)
      assert.strictEqual((await pool()).stuck, 1)
      released.resolve()
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.strictEqual((await pool()).stuck, 0)
    } finally {
      released.resolve()
      await runtime.dispose()
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Direct from "../adapters/direct/mod.ts"
import * as Memory from "../adapters/memory/mod.ts"
import { Server } from "../cluster/Server.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import { startTesting } from "../testing/startTesting.ts"
import { type Belfry, Blocking, Refused, Retry, RunFailed, start, task, Trigger } from "./mod.ts"
import type { StandardSchema } from "./StandardSchema.ts"

/** As the libraries of others write one: it makes another value of what it accepts, and may wait. */
const trimmed = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: async (value: unknown) => {
      await Promise.resolve()
      const name = (value as { readonly name?: unknown } | null)?.name
      return typeof name === "string"
        ? { value: { name: name.trim(), at: new Date(0) } }
        : { issues: [{ message: "a text is wanted", path: [{ key: "name" }] }] }
    },
    types: undefined as
      | { readonly input: { name: string }; readonly output: { name: string; at: Date } }
      | undefined,
  },
} as const satisfies StandardSchema

const standard = Schema.toStandardSchemaV1
const text = standard(Schema.String)
const greet = task("greet", { payload: trimmed, success: text })
const greeting = greet.handler(({ at, name }) => `Hello, ${name}! ${at.getTime()}`)

const rejected = async (promise: Promise<unknown>): Promise<Record<string, unknown>> => {
  try {
    await promise
  } catch (cause) {
    return cause as Record<string, unknown>
  }
  throw new Error("it was not rejected")
}

const until = async (isSo: () => boolean | Promise<boolean>) => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe("a program of promises", () => {
  it("submits, executes and lists", async () => {
    await using belfry = await start({ storage: "memory", handlers: [greeting] })
    assert.strictEqual(await belfry.execute(greet, { name: " Ada " }), "Hello, Ada! 0")
    const run = await belfry.submit(greet, { name: "Bob" }, { idempotencyKey: "bob" })
    assert.strictEqual(await belfry.submit(greet, { name: "Bob" }, { idempotencyKey: "bob" }), run)
    assert.strictEqual(await belfry.result(greet, run), "Hello, Bob! 0")
    assert.deepStrictEqual(await belfry.outcome(greet, run), {
      kind: "success",
      value: "Hello, Bob! 0",
    })
    const shown = await belfry.show(run)
    assert.deepInclude(shown, {
      id: run,
      task: "greet",
      state: "Succeeded",
      payload: { name: "Bob" },
      result: "Hello, Bob! 0",
      idempotencyKey: "bob",
    })
    assert.instanceOf(shown.finishedAt, Date)
    assert.deepStrictEqual((await belfry.list({ task: greet, limit: 1 })).map(({ id }) => id), [
      run,
    ])
    assert.deepInclude(await belfry.why(run), { _tag: "Ended", state: "Succeeded" })
  })

  it("refuses what does not fit, before anything is stored", async () => {
    await using belfry = await start({ storage: "memory" })
    const payload = await rejected(belfry.submit(greet, { name: 7 } as never))
    assert.instanceOf(payload, Refused)
    assert.include(payload["reason"], "name: a text is wanted")
    const cyclic: Record<string, unknown> = {}
    cyclic["self"] = cyclic
    const any = task("any")
    assert.instanceOf(await rejected(belfry.submit(any, cyclic)), Refused)
    assert.instanceOf(await rejected(belfry.submit(any, undefined as never)), Refused)
    assert.include(await rejected(belfry.list({ limit: 0 })), { field: "limit" })
    assert.include(await rejected(belfry.show(1.5)), { field: "run" })
    assert.include(await rejected(belfry.show(1)), { _tag: "RunUnknown" })
    assert.include(await rejected(belfry.schedule(any, "x", Trigger.cron("never"), {})), {
      _tag: "Refused",
    })
    assert.include(await rejected(belfry.pause("nobody")), { _tag: "TriggerUnknown" })
    assert.deepStrictEqual(await belfry.list(), [])
  })

  it("refuses a task whose name or policy breaks the rules", () => {
    const refusal = (define: () => unknown) => {
      try {
        define()
      } catch (cause) {
        assert.instanceOf(cause, Refused)
        return cause.message
      }
      throw new Error("it was not refused")
    }
    assert.include(refusal(() => task("no such name")), "a task name has 1 to 127 characters")
    assert.include(refusal(() => task("slow", { policy: { timeout: "soon" as "1 hour" } })), "soon")
  })

  it("gets a declared error typed, and never retried", async () => {
    let starts = 0
    const charge = task("charge", {
      payload: standard(Schema.Struct({ cents: Schema.Int })),
      error: standard(Schema.Struct({ reason: Schema.String })),
      policy: { retry: Retry.exponential({ attempts: 5, delayMillis: 1 }) },
    })
    const handler = charge.handler(({ cents }, { fail }) => {
      starts++
      if (cents < 0) fail({ reason: "negative" })
    })
    await using belfry = await start({ storage: "memory", handlers: [handler] })
    assert.strictEqual(await belfry.execute(charge, { cents: 1 }), undefined)
    const cause: unknown = await rejected(belfry.execute(charge, { cents: -1 }))
    assert.isTrue(charge.isError(cause))
    assert.isFalse(greet.isError(cause))
    if (charge.isError(cause)) assert.strictEqual(cause.error.reason, "negative")
    const [run, before] = await belfry.list({ task: charge, limit: 2 })
    assert.deepInclude(before, { state: "Succeeded", result: undefined })
    assert.deepStrictEqual(await belfry.outcome(charge, run!.id), {
      kind: "error",
      error: { reason: "negative" },
    })
    assert.strictEqual(starts, 2)
  })

  it("takes a result that does not fit for a final failure", async () => {
    const handler = greet.handler(() => 7 as never)
    await using belfry = await startTesting({ handlers: [handler] })
    const run = await belfry.submit(greet, { name: "Ada" })
    const outcome = await belfry.outcome(greet, run)
    assert.strictEqual(outcome.kind, "failure")
    const cause = await rejected(belfry.result(greet, run))
    assert.instanceOf(cause, RunFailed)
    assert.include((await belfry.show(run)).failure, { tag: "ResultRefused" })
    assert.include(cause["message"], "the handler's result was refused")
  })

  it("retries what is thrown, and knows its attempt", async () => {
    const flaky = task("flaky", {
      success: standard(Schema.Int),
      policy: { retry: Retry.exponential({ attempts: 4, delayMillis: 60_000, jitter: 0 }) },
    })
    const handler = flaky.handler(async (_, { attempt }) => {
      await Promise.resolve()
      if (attempt < 3) throw new Error("not yet")
      return attempt
    })
    await using belfry = await startTesting({ handlers: [handler] })
    assert.strictEqual(await belfry.execute(flaky, {}), 3)
    assert.deepStrictEqual(await belfry.now(), new Date("2030-01-01T00:03:00Z"))
  })

  it("aborts the signal on cancel, and waits until the handler has stopped", async () => {
    const slow = task("slow", { policy: { blocking: Blocking.fifo } })
    const seen: Array<string> = []
    const handler = slow.handler(async (_, { run, signal }) => {
      seen.push(`start ${run}`)
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
      assert.strictEqual((signal.reason as Error).name, "AbortError")
      await new Promise((resolve) => setTimeout(resolve, 30))
      seen.push(`stop ${run}`)
      signal.throwIfAborted()
    })
    await using belfry = await start({ storage: "memory", handlers: [handler] })
    const first = await belfry.submit(slow, {})
    const second = await belfry.submit(slow, {})
    await until(() => seen.length === 1)
    assert.strictEqual(await belfry.cancel(first), "requested")
    assert.include(await rejected(belfry.result(slow, first)), { state: "Cancelled" })
    await until(() => seen.length === 3)
    await belfry.cancel(second)
    await rejected(belfry.result(slow, second))
    assert.deepStrictEqual(seen, [
      `start ${first}`,
      `stop ${first}`,
      `start ${second}`,
      `stop ${second}`,
    ])
  })

  it("aborts the signal on timeout and at the end", async () => {
    const slow = task("slow", { policy: { timeout: "1 minute" } })
    let aborts = 0
    const handler = slow.handler(async (_, { signal, sleep }) => {
      try {
        await sleep("1 hour")
      } catch (cause) {
        assert.strictEqual(cause, signal.reason)
        aborts++
      }
    })
    const belfry = await startTesting({ handlers: [handler] })
    assert.include(await rejected(belfry.execute(slow, {})), { state: "TimedOut" })
    assert.strictEqual(aborts, 1)
    await belfry.submit(slow, {})
    await belfry.advance("1 second")
    await belfry.close()
    assert.strictEqual(aborts, 2)
  })

  it("lets go of a wait whose signal is aborted, and not of the run", async () => {
    const slow = task("slow", { success: text })
    const handler = slow.handler(async (_, { sleep }) => {
      await sleep(100)
      return "done"
    })
    await using belfry = await start({ storage: "memory", handlers: [handler] })
    const run = await belfry.submit(slow, {})
    const signal = AbortSignal.timeout(10)
    assert.strictEqual(await rejected(belfry.result(slow, run, { signal })), signal.reason)
    assert.strictEqual(await belfry.result(slow, run), "done")
  })

  it("schedules, pauses and looks at the slots", async () => {
    const report = task("report", { payload: trimmed })
    const names: Array<string> = []
    const handler = report.handler(({ name }, { slot }) => {
      names.push(`${name} ${slot?.toISOString()}`)
    })
    await using belfry = await startTesting({ handlers: [handler] })
    await belfry.schedule(report, "hourly", Trigger.cron("0 * * * *"), { name: " gl " })
    await belfry.advance("2 hours")
    await belfry.pause("hourly")
    await belfry.advance("2 hours")
    assert.deepStrictEqual(names, ["gl 2030-01-01T01:00:00.000Z", "gl 2030-01-01T02:00:00.000Z"])
    assert.deepInclude((await belfry.triggers())[0], { name: "hourly", isPaused: true })
    await belfry.resume("hourly")
    const [trigger] = await belfry.triggers()
    assert.deepStrictEqual(trigger?.nextAt, new Date("2030-01-01T05:00:00Z"))
    assert.deepStrictEqual(
      (await belfry.slots("hourly", 2)).map(({ at, outcome }) => [at, outcome]),
      [
        [new Date("2030-01-01T03:00:00Z"), "skipped"],
        [new Date("2030-01-01T02:00:00Z"), "fired"],
      ],
    )
    await belfry.unschedule("hourly")
    assert.deepStrictEqual(await belfry.triggers(), [])
    assert.include(await belfry.report(), "task report: 2 Succeeded")
    assert.lengthOf(await belfry.runs(report), 2)
  })

  it("waits in a handler for another run, also in virtual time", async () => {
    const child = task("child", { success: text })
    const parent = task("parent", { success: text })
    const handlers = [
      child.handler(async (_, { sleep }) => {
        await sleep("2 hours")
        return "grown"
      }),
      parent.handler(async () => await belfry.execute(child, {})),
    ]
    await using belfry: Belfry = await startTesting({ handlers, patience: "20 millis" })
    assert.strictEqual(await belfry.execute(parent, {}), "grown")
  })

  it("is refused what cannot start, and leaves nothing open", async () => {
    const refused = (options: Parameters<typeof start>[0]) => rejected(start(options))
    assert.include(await refused({ storage: "memory", handlers: [greeting, greeting] }), {
      field: "handlers",
    })
    assert.include(await refused({ storage: "memory", namespace: "No Such" }), {
      field: "namespace",
    })
    assert.include(
      await refused({ storage: "memory", handlers: [greeting], executor: { concurrency: 0 } }),
      { field: "executor.concurrency" },
    )
    const folder = mkdtempSync(join(tmpdir(), "belfry-promise-"))
    const file = join(folder, "notes.txt")
    writeFileSync(file, "this is no database, however you look at it".repeat(99))
    assert.include(await refused({ storage: { sqlite: file } }), { _tag: "Refused" })
    rmSync(folder, { recursive: true })
  })

  it("reaches a server with a token: submits, carries out and schedules there", async () => {
    const token = "a-token-of-the-tests-and-nobody-else"
    const server = ManagedRuntime.make(
      Server.layer({ port: 0, token: Redacted.make(token), dueInterval: "20 millis" }).pipe(
        Layer.provideMerge(Direct.layer),
        Layer.provideMerge(Memory.layer),
        Layer.provideMerge(LocalOwnership.layer),
      ),
    )
    try {
      const url = await server.runPromise(Server.use(({ url }) => Effect.succeed(url)))
      await using belfry = await start({ server: { url, token }, handlers: [greeting] })
      // The server knows a task only when its executor has brought it.
      let run: number | undefined
      await until(async () => {
        run = await belfry.submit(greet, { name: "Ada" }).catch(() => undefined)
        return run !== undefined
      })
      assert.strictEqual(await belfry.result(greet, run!), "Hello, Ada! 0")
      await belfry.schedule(greet, "nightly", Trigger.cron("0 3 * * *"), { name: "owls" })
      assert.deepStrictEqual((await belfry.triggers()).map(({ name }) => name), ["nightly"])
      assert.include(await rejected(start({ server: { url, token: "wrong" } })), {
        field: "server.token",
      })
      assert.include(await rejected(start({ server: { url: "http://127.0.0.1:1", token } })), {
        _tag: "StorageUnavailable",
      })
    } finally {
      await server.dispose()
    }
  })

  it("shares a SQLite file: one submits, another carries out and finishes as it closes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "belfry-promise-"))
    try {
      const storage = { sqlite: join(folder, "belfry.db") }
      const slow = task("slow", { success: text })
      let isStarted = false
      const handler = slow.handler(async (_, { sleep }) => {
        isStarted = true
        await sleep(50)
        return "done"
      })
      const worker = await start({ storage, handlers: [handler], namespace: "shared" })
      await using client = await start({ storage, namespace: "shared" })
      const run = await client.submit(slow, {})
      await until(() => isStarted)
      await worker.close()
      assert.strictEqual(await client.result(slow, run), "done")
      await using other: Belfry = await start({ storage })
      assert.deepStrictEqual(await other.list(), [])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

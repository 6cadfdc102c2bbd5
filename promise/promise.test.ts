import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startTesting } from "../testing/startTesting.ts"
import {
  type Belfry,
  Blocking,
  earlier,
  Refused,
  Retry,
  RunFailed,
  Source,
  start,
  task,
  Trigger,
} from "./mod.ts"
import { rejected, until, withServer } from "./promise.fixture.ts"
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

describe("a program of promises", () => {
  it("derives the key of a run from its payload, where the task says so", async () => {
    const bill = task("bill", {
      payload: standard(Schema.Struct({ order: Schema.String })),
      idempotencyKey: ({ order }) => order,
    })
    await using belfry = await start({ storage: "memory" })
    const run = await belfry.submit(bill, { order: "7" })
    assert.strictEqual(await belfry.submit(bill, { order: "7" }), run)
    assert.notStrictEqual(await belfry.submit(bill, { order: "8" }), run)
    assert.strictEqual((await belfry.show(run))?.idempotencyKey, "bill/7")
  })

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

  it("carries out payloads of earlier versions, as the present one has them", async () => {
    const first = task("order", { payload: standard(Schema.Struct({ amount: Schema.Int })) })
    const upTo = <A>(up: (total: number) => A) =>
      earlier(standard(Schema.Struct({ amount: Schema.Int })))
        .next(
          standard(Schema.Struct({ total: Schema.NumberFromString })),
          ({ amount }) => ({ total: `${amount}` }),
        )
        .now(({ total }) => up(total))
    const order = task("order", {
      payload: trimmed,
      success: text,
      earlier: upTo((total) => ({ name: ` ${total * 2} ` })),
    })
    const handler = order.handler(({ at, name }) => `${name} ${at.getTime()}`)
    await using belfry = await startTesting({ handlers: [handler] })
    const run = await belfry.submit(first, { amount: 21 })
    assert.strictEqual(await belfry.result(order, run), "42 0")
    const present = await belfry.submit(order, { name: "Ada" })
    assert.strictEqual(await belfry.result(order, present), "Ada 0")
    assert.deepStrictEqual((await belfry.show(present)).payload, { $version: 3, name: "Ada" })
    await belfry.schedule(order, "often", Trigger.every("1 hour"), { name: "Bob" })
    await belfry.advance("1 hour")
    const [fired] = await belfry.list({ task: order, limit: 1 })
    assert.strictEqual(await belfry.result(order, fired!.id), "Bob 0")
  })

  it("says of a payload that no version reads why, and gives a newer one back", async () => {
    const first = task("order", { payload: standard(Schema.Struct({ amount: Schema.Int })) })
    const second = task("order", {
      payload: trimmed,
      earlier: earlier(standard(Schema.Struct({ amount: Schema.Int }))).now(({ amount }) => {
        if (amount < 0) throw new Error("it was never paid")
        return { name: amount as unknown as string }
      }),
    })
    const unreadable = async (amount: number) => {
      await using belfry = await startTesting({ handlers: [second.handler(() => {})] })
      return await rejected(belfry.result(second, await belfry.submit(first, { amount })))
    }
    assert.match(`${(await unreadable(1))["message"]}`, /payload schema: name: a text is wanted/)
    assert.match(`${(await unreadable(-1))["message"]}`, /payload schema: it was never paid/)
    await using belfry = await startTesting({ handlers: [first.handler(() => {})] })
    const run = await belfry.submit(second, { name: "Ada" })
    await belfry.advance("3 seconds")
    assert.deepInclude(await belfry.show(run), { state: "Ready", attempt: 0 })
  })

  it("tails a source, and lets go of it when it is unscheduled", async () => {
    const orders = [1, 250, 900, "nonsense", -3].map((total) => ({ total }) as unknown)
    const begun: Array<string> = []
    let aborts = 0
    const source = Source.fromStream("orders", async function* (after, signal) {
      begun.push(after)
      signal.addEventListener("abort", () => aborts++)
      for (let at = Number(after); at < orders.length; at++) {
        await Promise.resolve()
        yield { position: `${at + 1}`, value: orders[at] }
      }
    }, { end: async () => await Promise.resolve(`${orders.length}`) })
    const bill = task("bill", {
      payload: standard(Schema.Struct({ total: Schema.Int })),
      success: standard(Schema.Int),
      policy: { blockingKey: ({ total }) => `${total}` },
    })
    const handler = bill.handler(({ total }) => total)
    await using belfry = await startTesting({ handlers: [handler], patience: "20 millis" })
    const entry = standard(Schema.Struct({ total: Schema.Int }))
    const tail = (from?: "end") =>
      belfry.schedule(
        bill,
        "bills",
        Trigger.tail(source, { entry, ...(from && { from }) }),
        async ({ total }) => {
          await Promise.resolve()
          if (total < 0) throw new Error("nobody owes that")
          return total < 100 ? undefined : { total }
        },
      )
    await tail()
    await belfry.advance("5 seconds")
    const totals = async () => (await belfry.runs(bill)).map(({ result }) => result)
    assert.deepStrictEqual(await totals(), [250, 900])
    const [come] = await belfry.tails()
    assert.deepInclude(come, { trigger: "bills", position: "5", fired: 2, passed: 1, skipped: 2 })
    assert.instanceOf(come!.movedAt, Date)
    assert.match(
      (await belfry.slots("bills")).map(({ outcome }) => outcome).join(),
      /^skipped,skipped,fired,fired$/,
    )
    await tail()
    orders.push({ total: 500 })
    await belfry.advance("5 seconds")
    assert.deepStrictEqual(await totals(), [250, 900, 500], "it goes on where it was")
    await belfry.unschedule("bills")
    const [before, left] = [begun.length, aborts]
    orders.push({ total: 700 })
    await belfry.advance("5 seconds")
    assert.deepStrictEqual([begun.length, await totals()], [before, [250, 900, 500]])
    assert.strictEqual(left, before, "what was begun was let go of")
  })

  it("begins a source at its end, and is told why one cannot be read", async () => {
    let isDown = false
    const source = Source.fromStream("orders", () => {
      throw new Error("the shop is closed")
    }, { end: () => isDown ? Promise.reject(new Error("the shop is closed")) : "7" })
    const bill = task("bill")
    await using belfry = await startTesting()
    const tail = (name: string) =>
      belfry.schedule(bill, name, Trigger.tail(source, { from: "end" }), () => ({}))
    await tail("reached")
    await belfry.advance("2 hours")
    isDown = true
    await tail("unreached")
    await belfry.advance("2 hours")
    const tails = await belfry.tails()
    assert.deepStrictEqual(
      tails.map(({ failure, position, trigger }) => [trigger, position, failure]),
      [
        ["reached", "7", "orders: the shop is closed"],
        ["unreached", undefined, "orders: the shop is closed"],
      ],
    )
    assert.instanceOf(tails[0]!.failingSince, Date)
    assert.include(await rejected(belfry.schedule(bill, "table", Trigger.tailTable("orders"))), {
      field: "schedule.tail",
    })
  })

  it("passes on what the run answered that is followed", async () => {
    const order = task("order", { success: standard(Schema.Struct({ nr: Schema.Int })) })
    const ship = task("ship", { payload: standard(Schema.Struct({ nr: Schema.Int })) })
    const shipped: Array<number> = []
    const handlers = [
      order.handler(() => ({ nr: 7 })),
      ship.handler(({ nr }) => void shipped.push(nr)),
    ]
    await using belfry = await startTesting({ handlers })
    await belfry.schedule(ship, "behind", Trigger.after("order", { passing: "result" }))
    await belfry.execute(order, {})
    await belfry.advance("10 seconds")
    assert.deepStrictEqual(shipped, [7])
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
    await withServer(async ({ token, url }) => {
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
    })
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

import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type Belfry,
  BreakerUnknown,
  Group,
  GroupUnknown,
  OrderRefused,
  RunChanged,
  start,
  task,
  Trigger,
} from "./mod.ts"
import { rejected, until, withServer } from "./promise.fixture.ts"

const text = Schema.toStandardSchemaV1(Schema.String)
const group = Group.make("office")
const approve = task("approve", { success: text, policy: { group, breaker: "shop" } })
const approving = approve.handler((_, { checkpoint, handOver, keep, log, signal }) => {
  if (checkpoint === "kept") handOver("1 hour")
  keep("kept")
  log("it waits")
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
})

/** A program without a database, and the server it belongs to. */
const withBelfry = (use: (belfry: Belfry) => Promise<void>) =>
  withServer(async (server) => {
    await using belfry = await start({ server, handlers: [approving] })
    // The server knows a task only when its executor has brought it.
    await until(async () => (await belfry.groups.list()).length === 1)
    await use(belfry)
  })

describe("a program that has a server", () => {
  it("gives orders to runs there", () =>
    withBelfry(async (belfry) => {
      const run = await belfry.submit(approve, {}, { level: 3, by: "Ada" })
      const isIn = (state: string) => until(async () => (await belfry.show(run)).state === state)
      await isIn("Running")
      await until(async () => (await belfry.log(run)).lines.length === 1)
      const [line] = (await belfry.log(run)).lines
      assert.strictEqual(line?.text, "it waits")
      assert.deepStrictEqual((await belfry.log(run, { after: line! })).lines, [])
      assert.strictEqual(await belfry.progress(run), undefined)
      await belfry.suspend(run, { by: "Ada" })
      await isIn("Suspended")
      await belfry.change(run, { level: 0 })
      assert.instanceOf(await rejected(belfry.change(run, { level: 1, revision: 1 })), RunChanged)
      await belfry.resumeRun(run)
      await isIn("Awaiting")
      const notice = { kind: "success", value: "yes" } as const
      assert.strictEqual(await belfry.notify(approve, run, notice), "applied")
      assert.strictEqual(await belfry.result(approve, run), "yes")
      assert.instanceOf(await rejected(belfry.revive(run)), OrderRefused)
      assert.include((await belfry.events(run)).map(({ kind }) => kind), "Notified")
      const again = await belfry.again(approve, run)
      await belfry.cancel(again)
      assert.deepInclude((await belfry.show(again)).asked, { again: run })
      assert.lengthOf(await belfry.submitAll(approve, [{}, {}], { delay: "1 hour" }), 2)
    }))

  it("looks after breakers, groups, calendars and triggers there, and holds no lock", () =>
    withBelfry(async (belfry) => {
      await belfry.breakers.set("shop", { openFor: "10 minutes", slow: "1 second" })
      const { settings } = await belfry.breakers.show("shop")
      assert.deepInclude(settings, { openMillis: 600_000, slowMillis: 1000 })
      const { order } = await belfry.breakers.order("shop", "open", { by: "Ada" })
      assert.deepInclude(order, { to: "open", by: "Ada" })
      assert.deepStrictEqual(await belfry.breakers.keys("shop"), [])
      assert.lengthOf(await belfry.breakers.list(), 1)
      assert.instanceOf(await rejected(belfry.breakers.show("none")), BreakerUnknown)
      assert.instanceOf(await rejected(belfry.breakers.order("none", "open")), BreakerUnknown)

      assert.deepInclude(await belfry.groups.pause("office", { note: "n" }), { isPaused: true })
      await belfry.submit(approve, {})
      assert.deepInclude(await belfry.groups.counts("office"), { Ready: 1 })
      assert.deepStrictEqual(await belfry.groups.cancel("office"), { confirmed: 1, requested: 0 })
      assert.deepInclude(await belfry.groups.resume("office"), { isPaused: false })
      assert.deepInclude(await belfry.groups.show("office"), { tasks: ["approve"] })
      assert.instanceOf(await rejected(belfry.groups.cancel("none")), GroupUnknown)
      assert.instanceOf(await rejected(belfry.groups.counts("none")), GroupUnknown)

      await belfry.calendars.keep({ name: "office" })
      assert.deepStrictEqual(await belfry.calendars.list(), ["office"])
      await belfry.schedule(approve, "yearly", Trigger.cron("0 0 1 1 *"), {})
      const fired = await belfry.fire(approve, "yearly", { by: "Ada" })
      assert.deepInclude(await belfry.show(fired), { trigger: "yearly" })
      const range = { request: "old", from: new Date(Date.UTC(2020, 5)), to: new Date() }
      const slots = await belfry.backfill("yearly", { ...range, isDry: true })
      assert.deepInclude(slots[0], { at: new Date("2021-01-01T00:00:00Z") })

      const refused = await rejected(belfry.withLock("report", () => "never"))
      assert.deepInclude(refused, { _tag: "Refused", field: "key" })
      assert.deepInclude(await rejected(belfry.tryWithLock("report", () => "never")), {
        _tag: "Refused",
      })
    }))
})

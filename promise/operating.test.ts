import { assert, describe, it } from "@effect/vitest"
import { startTesting } from "../testing/startTesting.ts"
import { BreakerUnknown, Group, GroupUnknown, Refused, task } from "./mod.ts"
import { rejected } from "./promise.fixture.ts"

describe("a breaker", () => {
  it("is set, looked at and ordered by hand", async () => {
    const call = task("call", { policy: { breaker: "shop" } })
    await using belfry = await startTesting({ handlers: [call.handler(() => {})] })
    assert.instanceOf(await rejected(belfry.breakers.show("shop")), BreakerUnknown)
    const { settings, state } = await belfry.breakers.set("shop", { openFor: "10 minutes" })
    assert.deepStrictEqual([settings.openMillis, state], [600_000, "Closed"])
    const opened = await belfry.breakers.order("shop", "open", { by: "Ada", note: "it is down" })
    assert.deepInclude(opened.order, { to: "open", by: "Ada", note: "it is down" })
    assert.instanceOf(opened.order?.at, Date)
    const run = await belfry.submit(call, {})
    await belfry.advance("1 hour")
    assert.deepInclude(await belfry.show(run), { state: "Ready" })
    assert.deepInclude(await belfry.why(run), { _tag: "BreakerOpen" })
    const back = await belfry.breakers.order("shop", "auto")
    assert.isUndefined(back.order)
    await belfry.advance("1 hour")
    assert.deepInclude(await belfry.show(run), { state: "Succeeded" })
    const key = { name: "shop", key: "eu" }
    await belfry.breakers.order(key, "open")
    assert.deepStrictEqual((await belfry.breakers.keys("shop")).map(({ key }) => key), ["eu"])
    assert.deepInclude(await belfry.breakers.show(key), { name: "shop", key: "eu" })
    assert.deepStrictEqual((await belfry.breakers.list()).map(({ name }) => name), ["shop"])
    assert.instanceOf(await rejected(belfry.breakers.set("shop", { probes: 0 })), Refused)
  })
})

describe("a group", () => {
  it("is counted, paused and cancelled as one", async () => {
    const group = Group.make("nightly", { limit: 1 })
    const load = task("load", { policy: { group } })
    const send = task("send", { policy: { group } })
    const handlers = [load, send].map((each) =>
      each.handler(async (_, { sleep }) => await sleep("1 hour"))
    )
    await using belfry = await startTesting({ handlers })
    await belfry.advance("1 second")
    const paused = await belfry.groups.pause("nightly", { by: "Ada", note: "moving" })
    assert.deepInclude(paused, { name: "nightly", isPaused: true, by: "Ada", limit: 1 })
    assert.deepStrictEqual([...paused.tasks].sort(), ["load", "send"])
    assert.instanceOf(paused.since, Date)
    const runs = [await belfry.submit(load, {}), await belfry.submit(send, {})]
    await belfry.advance("1 hour")
    assert.strictEqual((await belfry.groups.counts("nightly")).Running ?? 0, 0)
    await belfry.groups.resume("nightly")
    await belfry.advance("2 minutes")
    assert.strictEqual((await belfry.groups.counts("nightly")).Running, 1)
    assert.deepStrictEqual(await belfry.groups.cancel("nightly", { by: "Ada" }), {
      confirmed: 1,
      requested: 1,
    })
    await belfry.advance("1 minute")
    for (const run of runs) assert.deepInclude(await belfry.show(run), { state: "Cancelled" })
    assert.deepInclude(await belfry.groups.show("nightly"), { isPaused: false })
    assert.deepStrictEqual((await belfry.groups.list()).map(({ name }) => name), ["nightly"])
    assert.instanceOf(await rejected(belfry.groups.pause("daily")), GroupUnknown)
  })
})

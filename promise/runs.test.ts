import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { startTesting } from "../testing/startTesting.ts"
import {
  BacklogFull,
  Blocking,
  OrderRefused,
  Refused,
  Routing,
  RunChanged,
  RunUnknown,
  start,
  task,
} from "./mod.ts"
import { rejected, until } from "./promise.fixture.ts"

const standard = Schema.toStandardSchemaV1
const text = standard(Schema.String)
const number = standard(Schema.Int)
const named = standard(Schema.Struct({ name: Schema.String }))

describe("orders to a run", () => {
  it("put it down, and let it go on with what it kept", async () => {
    const count = task("count", { success: text })
    const handler = count.handler(async (_, { checkpoint, keep, signal, sleep }) => {
      if (checkpoint !== undefined) return `on from ${checkpoint}`
      keep("7")
      await sleep("1 hour")
      signal.throwIfAborted()
      return "never"
    })
    await using belfry = await startTesting({ handlers: [handler] })
    const run = await belfry.submit(count, {}, { by: "Ada" })
    await belfry.advance("1 minute")
    assert.strictEqual(await belfry.suspend(run, { by: "Bob" }), "requested")
    await belfry.advance("1 minute")
    assert.deepInclude(await belfry.show(run), { state: "Suspended", asked: { by: "Ada" } })
    await belfry.resumeRun(run, { by: "Eve" })
    assert.strictEqual(await belfry.result(count, run), "on from 7")
    const events = await belfry.events(run)
    assert.deepStrictEqual(
      events.filter(({ by }) => by !== undefined).map(({ by, kind }) => [kind, by]),
      [["SuspendAsked", "Bob"], ["Resumed", "Eve"]],
    )
    assert.instanceOf(events[0]!.at, Date)
    assert.deepInclude(events.find(({ kind }) => kind === "Claimed"), { executor: "testing" })
    const refused = await rejected(belfry.resumeRun(run))
    assert.instanceOf(refused, OrderRefused)
    assert.deepInclude(refused, { run, order: "resume", state: "Succeeded" })
    assert.instanceOf(await rejected(belfry.suspend(1)), RunUnknown)
    assert.deepInclude(await rejected(belfry.revive(0.5)), { _tag: "Refused", field: "run" })
  })

  it("give it another try, as the same run", async () => {
    let isBroken = true
    const flaky = task("flaky", { success: text })
    const handler = flaky.handler(() => {
      if (isBroken) throw new Error("not yet")
      return "done"
    })
    await using belfry = await startTesting({ handlers: [handler] })
    const run = await belfry.submit(flaky, {})
    assert.deepInclude(await belfry.outcome(flaky, run), { kind: "failure", state: "Failed" })
    isBroken = false
    await belfry.revive(run, { by: "Ada" })
    assert.strictEqual(await belfry.result(flaky, run), "done")
    assert.instanceOf(await rejected(belfry.revive(run)), OrderRefused)
  })

  it("do it again, with its payload or another", async () => {
    const greet = task("greet", { payload: named, success: text })
    await using belfry = await startTesting({ handlers: [greet.handler(({ name }) => name)] })
    const first = await belfry.submit(greet, { name: "Ada" }, { level: 3 })
    await belfry.result(greet, first)
    const second = await belfry.again(greet, first, { by: "Bob", idempotencyKey: "again" })
    assert.strictEqual(await belfry.again(greet, first, { idempotencyKey: "again" }), second)
    assert.strictEqual(await belfry.result(greet, second), "Ada")
    assert.deepInclude(await belfry.show(second), { level: 3, asked: { by: "Bob", again: first } })
    const third = await belfry.again(greet, first, { payload: { name: "Eve" }, delay: "1 hour" })
    assert.strictEqual(await belfry.result(greet, third), "Eve")
    assert.isAtLeast((await belfry.now()).getTime(), Date.UTC(2030, 0, 1, 1))
    assert.instanceOf(
      await rejected(belfry.again(greet, first, { payload: { name: 7 } as never })),
      Refused,
    )
  })

  it("change its level and deadline, unless somebody else has changed it", async () => {
    const idle = task("idle")
    await using belfry = await startTesting()
    const run = await belfry.submit(idle, {}, { deadline: "1 hour" })
    assert.deepInclude(await belfry.show(run), {
      level: 1,
      revision: 1,
      deadlineAt: new Date("2030-01-01T01:00:00Z"),
    })
    await belfry.change(run, { level: 0, deadline: "2 hours", revision: 1, by: "Ada" })
    const changed = await belfry.show(run)
    assert.strictEqual(changed.level, 0)
    assert.isAbove(changed.revision, 1)
    assert.deepStrictEqual(changed.deadlineAt, new Date("2030-01-01T02:00:00Z"))
    const stale = await rejected(belfry.change(run, { level: 4, revision: 1 }))
    assert.instanceOf(stale, RunChanged)
    assert.deepInclude(stale, { revision: changed.revision })
    await belfry.change(run, { deadline: null })
    await belfry.advance("3 hours")
    assert.deepInclude(await belfry.show(run), { state: "Ready", deadlineAt: undefined })
    await belfry.change(run, { deadline: "1 minute" })
    await belfry.advance("2 minutes")
    assert.deepInclude(await belfry.show(run), { state: "Expired" })
    assert.instanceOf(await rejected(belfry.change(run, { level: 0 })), OrderRefused)
  })

  it("have it rolled back after its end", async () => {
    const seen: Array<string> = []
    const pay = task("pay", { success: text })
    const handler = pay.handler(() => "paid", {
      rollback: (_, { tag }, { result }) => void seen.push(`${tag} ${result}`),
    })
    await using belfry = await startTesting({ handlers: [handler] })
    const run = await belfry.submit(pay, {})
    await belfry.result(pay, run)
    await belfry.advance("1 minute")
    await belfry.rollback(run, { by: "Ada", note: "paid twice" })
    await belfry.advance("1 minute")
    assert.deepStrictEqual(seen, [`RollbackAsked "paid"`])
    const { failure, state } = await belfry.show(run)
    assert.deepStrictEqual([state, failure?.tag], ["Failed", "RolledBack"])
  })
})

describe("a run that is handed over", () => {
  const approve = task("approve", { payload: named, success: number })
  let asked = 0
  const handler = approve.handler(async (_, { handOver }) => {
    asked++
    await Promise.resolve()
    return handOver("1 day")
  })

  it("ends by the first notice", async () => {
    await using belfry = await startTesting({ handlers: [handler] })
    const before = asked
    const run = await belfry.submit(approve, { name: "Ada" })
    await belfry.advance("1 hour")
    assert.deepInclude(await belfry.show(run), { state: "Awaiting", attempt: 1 })
    const wrong = await rejected(
      belfry.notify(approve, run, { kind: "success", value: "yes" as never }),
    )
    assert.deepInclude(wrong, { _tag: "Refused", field: "result" })
    const notice = { kind: "success", value: 7 } as const
    assert.strictEqual(await belfry.notify(approve, run, notice, { by: "Bob" }), "applied")
    assert.strictEqual(await belfry.notify(approve, run, notice), "duplicate")
    assert.strictEqual(await belfry.result(approve, run), 7)
    assert.strictEqual(asked - before, 1)
  })

  it("fails by one, or when none comes in time", async () => {
    await using belfry = await startTesting({ handlers: [handler] })
    const run = await belfry.submit(approve, { name: "Ada" })
    await belfry.advance("1 minute")
    const failure = { tag: "Denied", message: "not today" }
    await belfry.notify(approve, run, { kind: "failure", failure })
    assert.deepInclude(await belfry.outcome(approve, run), { kind: "failure", failure })
    const late = await belfry.submit(approve, { name: "Bob" })
    await belfry.advance("25 hours")
    assert.deepInclude(await belfry.show(late), { state: "TimedOut" })
    const done = task("done")
    const refused = await rejected(
      belfry.notify(done, await belfry.submit(done, {}), { kind: "success", value: undefined }),
    )
    assert.instanceOf(refused, OrderRefused)
  })
})

describe("a handler", () => {
  it("remembers for its task what the run succeeds with", async () => {
    const add = task("add", {
      payload: standard(Schema.Struct({ key: Schema.String, n: Schema.Int })),
      success: number,
      policy: { blocking: Blocking.fifo, blockingKey: ({ key }) => key },
    })
    const handler = add.handler(async ({ key, n }, { recall, remember }) => {
      const sum = Number(await recall(key) ?? 0) + n
      remember(key, `${sum}`)
      if (n < 0) throw new Error("it is forgotten")
      return sum
    })
    await using belfry = await startTesting({ handlers: [handler] })
    const added = (key: string, n: number) => belfry.execute(add, { key, n })
    assert.deepStrictEqual([await added("a", 1), await added("b", 5), await added("a", 2)], [
      1,
      5,
      3,
    ])
    await rejected(added("a", -1))
    assert.strictEqual(await added("a", 4), 7)
  })

  it("says how far it has come, which can be read while it runs", async () => {
    const resize = task("resize")
    const handler = resize.handler(async (_, { log, progress, sleep }) => {
      for (let n = 1; n <= 3; n++) log(`line ${n}`, n === 3 ? "Warn" : "Info")
      progress({ done: 3, total: 10, text: "resizing" })
      await sleep(20)
    })
    await using belfry = await start({ storage: "memory", handlers: [handler] })
    const run = await belfry.submit(resize, {})
    assert.strictEqual(await belfry.progress(run), undefined)
    await belfry.result(resize, run)
    await until(async () => (await belfry.log(run)).lines.length === 3)
    const { isCut, lines } = await belfry.log(run)
    assert.isFalse(isCut)
    assert.deepStrictEqual(lines.map(({ level, text }) => [level, text]), [
      ["Info", "line 1"],
      ["Info", "line 2"],
      ["Warn", "line 3"],
    ])
    assert.instanceOf(lines[0]!.at, Date)
    const [second, ...more] = (await belfry.log(run, { after: lines[0]!, limit: 1 })).lines
    assert.deepStrictEqual([second?.text, more.length], ["line 2", 0])
    const said = await belfry.progress(run)
    assert.deepInclude(said, { percent: 30, done: 3, total: 10, text: "resizing" })
    assert.instanceOf(said?.at, Date)
    assert.deepInclude(await rejected(belfry.log(run, { limit: 0 })), { field: "limit" })
  })
})

describe("a submit", () => {
  it("of many is one trip, and of shards a parent", async () => {
    const part = task("part", { payload: named, success: text })
    const handler = part.handler(({ name }, { shard }) => `${name} ${shard?.index}/${shard?.count}`)
    await using belfry = await startTesting({ handlers: [handler] })
    const runs = await belfry.submitAll(part, [{ name: "Ada" }, { name: "Bob" }], { level: 0 })
    assert.lengthOf(runs, 2)
    assert.strictEqual(await belfry.result(part, runs[1]!), "Bob undefined/undefined")
    assert.instanceOf(
      await rejected(belfry.submitAll(part, [{ name: "Eve" }, { name: 7 as never }])),
      Refused,
    )
    assert.lengthOf(await belfry.list(), 2)
    const parent = await belfry.submitSharded(part, { name: "all" }, { count: 3, atOnce: 2 })
    await belfry.advance("1 minute")
    assert.deepInclude(await belfry.show(parent), { state: "Succeeded", result: undefined })
    const children = await belfry.list({ parent })
    assert.deepStrictEqual(
      children.map(({ result, shard }) => [shard?.index, result]).sort(),
      [[0, "all 0/3"], [1, "all 1/3"], [2, "all 2/3"]],
    )
  })

  it("expires past its deadline, and is refused while the backlog is full", async () => {
    const rare = task("rare", {
      policy: { backlog: { high: 2, low: 1 }, routing: Routing.leastLoaded },
    })
    await using belfry = await startTesting()
    const run = await belfry.submit(rare, {}, { deadline: "1 minute" })
    await belfry.submit(rare, {}, { deadline: "1 minute" })
    await belfry.advance("1 second")
    const full = await rejected(belfry.submit(rare, {}))
    assert.instanceOf(full, BacklogFull)
    assert.deepInclude(full, { high: 2 })
    const waiting = belfry.submit(rare, {}, { whenFull: "wait" })
    await belfry.advance("2 minutes")
    assert.deepInclude(await belfry.show(run), { state: "Expired" })
    assert.deepInclude(await belfry.show(await waiting), { state: "Ready" })
  })
})

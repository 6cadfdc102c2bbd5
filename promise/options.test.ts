import { assert, describe, it } from "vitest"
import { Refused, start, type StartOptions, task, Trigger } from "./mod.ts"

/** As a program without types writes them. */
// deno-lint-ignore no-explicit-any
const odd = (given: unknown): any => given

describe("what a program names and nobody knows", () => {
  const made: ReadonlyArray<readonly [field: string, reason: string, make: () => unknown]> = [
    ["policy.timeout", '"soon" is not', () => task("a", { policy: { timeout: odd("soon") } })],
    ["policy.timeout", "-5 is less", () => task("a", { policy: { timeout: -5 } })],
    ["policy.level", "9 is not 0, 1, 2", () => task("a", { policy: { level: odd(9) } })],
    ["policy.levl", "no such field", () => task("a", { policy: odd({ levl: 1 }) })],
    [
      "policy.retry.attempts",
      "0 is not",
      () => task("a", { policy: { retry: odd({ attempts: 0 }) } }),
    ],
    ["task.polcy", "no such option", () => task("a", odd({ polcy: {} }))],
    ["name", '"a b" names no task', () => task("a b")],
    ["interval", '"often" is not a duration', () => Trigger.every(odd("often"))],
    ["interval", '{"minute":5} is not', () => Trigger.every(odd({ minute: 5 }))],
    ["jitter", "{} is not", () => Trigger.cron("@daily", { jitter: {} })],
    ["options.zoen", "no such option", () => Trigger.cron("@daily", odd({ zoen: "UTC" }))],
    ["jitter", '"x" is not a duration', () => Trigger.cron("@daily", { jitter: odd("x") })],
    ["at", '"soon" is no Date', () => Trigger.at(odd("soon"))],
    ["at", "that there is not", () => Trigger.at(new Date("x"))],
    ["delay", '"soon" is not a duration', () => Trigger.permanent({ delay: odd("soon") })],
    ["options.one", "no such option", () => Trigger.after("a", odd({ one: "success" }))],
    ["maxAge", '"x" is not a duration', () => Trigger.all(3, odd("x"))],
  ]
  for (const [field, reason, make] of made) {
    it(`is refused when it is made: ${field}: ${reason}`, () => {
      try {
        make()
      } catch (cause) {
        return assertRefused(cause, field, reason)
      }
      assert.fail("it was taken")
    })
  }

  const token = "a-token-of-the-tests"
  const started: ReadonlyArray<readonly [field: string, reason: string, options: unknown]> = [
    ["options.handlrs", "no such option", { storage: "memory", handlrs: [] }],
    ["storage", "neither it nor a server", {}],
    ["storage", "a server is named as well", { storage: "memory", server: { url: "x", token } }],
    ["storage", '"mem" is no object', { storage: "mem" }],
    ["storage.sqlit", "no such option", { storage: { sqlit: "x" } }],
    ["storage.sqlite", "names no file", { storage: { sqlite: "" } }],
    ["storage.postgres", "no address", { storage: { postgres: "mysql://secret@x" } }],
    ["server.url", '"x:y" is no address', { server: { url: "x:y", token } }],
    ["server.url.1", '"ftp://x" is', { server: { url: ["http://127.0.0.1:1", "ftp://x"], token } }],
    ["server.url", "names no server", { server: { url: [], token } }],
    ["server.token", "no text", { server: { url: "http://127.0.0.1:1" } }],
    ["namespace", "a namespace has", { storage: "memory", namespace: "Ä" }],
    ["executor.concurency", "no such", { storage: "memory", executor: { concurency: 3 } }],
    ["executor.ttl", '"x" is not', { storage: "memory", executor: { ttl: "x" } }],
    ["executor.ttl", "is not", { storage: "memory", executor: { ttl: { minute: 1, hours: 1 } } }],
    ["handlers", "no list", { storage: "memory", handlers: "a" }],
    ["handlers.0", "no handler", { storage: "memory", handlers: [task("a")] }],
  ]
  for (const [field, reason, options] of started) {
    it(`is refused at the start: ${field}: ${reason}`, async () => {
      const cause = await start(options as StartOptions).then(
        async (belfry) => {
          await belfry.close()
        },
        (cause: unknown) => cause,
      )
      assertRefused(cause, field, reason)
      assert.notInclude((cause as Refused).message, "secret")
    })
  }

  it("is refused when it is asked for, and nothing is stored", async () => {
    const belfry = await start({ storage: "memory" })
    const a = task("a")
    const daily = Trigger.cron("@daily")
    const asked: ReadonlyArray<readonly [string, string, () => Promise<unknown>]> = [
      ["delay", '"soon" is not', () => belfry.submit(a, {}, { delay: odd("soon") })],
      [
        "deadline",
        "due in",
        () => belfry.submit(a, {}, { delay: "5 seconds", deadline: "1 second" }),
      ],
      ["options.dealy", "no such option", () => belfry.submit(a, {}, odd({ dealy: 5 }))],
      ["options.dealy", "no such option", () => belfry.submitAll(a, [{}], odd({ dealy: 5 }))],
      ["query.task", "a task name has", () => belfry.list({ task: { name: "a b" } })],
      ["query.states.1", '"faild" is no', () => belfry.list({ states: ["Failed", odd("faild")] })],
      ["query.state", "no such option", () => belfry.list(odd({ state: "Failed" }))],
      ["name", "a trigger name has", () => belfry.schedule(a, "a b", daily, {})],
      ["grace", '"x" is not', () => belfry.schedule(a, "ab", daily, {}, { grace: odd("x") })],
      ["options.misfre", "no such", () => belfry.schedule(a, "ab", daily, {}, odd({ misfre: 1 }))],
    ]
    for (const [field, reason, ask] of asked) {
      assertRefused(await ask().then(() => undefined, (cause: unknown) => cause), field, reason)
    }
    assert.deepStrictEqual(await belfry.list(), [])
    assert.deepStrictEqual(await belfry.triggers(), [])
    await belfry.close()
  })
})

const assertRefused = (cause: unknown, field: string, reason: string) => {
  assert.instanceOf(cause, Refused)
  const refused = cause as Refused
  assert.strictEqual(refused.field, field)
  assert.include(refused.reason, reason)
  assert.isAbove(refused.remedy.length, 5)
}

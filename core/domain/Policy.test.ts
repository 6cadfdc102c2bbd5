import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Blocking from "./Blocking.ts"
import * as Group from "./Group.ts"
import * as Policy from "./Policy.ts"
import * as Retry from "./Retry.ts"
import * as Routing from "./Routing.ts"
import { TaskDefinition } from "./Task.ts"

const { usualPolicy } = Policy
const refused = (given: unknown) => Result.getOrThrow(Result.flip(Policy.check(given)))

/** A definition as it was stored before any of the newer fields existed. */
const stored = `{"namespace":"default","name":"greet","policy":{"retry":{"attempts":3,` +
  `"delayMillis":1000,"growth":2,"capMillis":600000,"jitter":0.2},"timeoutMillis":30000,` +
  `"blocking":{"_tag":"Fifo"},"delivery":"at-most-once","crashesMax":3,"level":1}}`

/** One valid value for every field that has a meaning of its own when it is left out. */
const values: Record<string, unknown> = {
  crashesWithinMillis: 60_000,
  timeoutMillis: 1000,
  deadlineMillis: 60_000,
  blocking: { _tag: "Concurrent", limit: 3 },
  blockingScope: "executor",
  selector: "region=eu,!spot",
  routing: { _tag: "Sharded", count: 8 },
  resources: { gpu: 1, memory: 0.5 },
  touches: { "db/main": "exclusive", cache: "shared" },
  backlog: { high: 1000, low: 500 },
  rateLimit: { limit: 50, perMillis: 1000, burst: 5 },
  group: Group.make("billing", { limit: 1 }),
  breaker: "sms-gateway",
  isolation: "thread",
  order: "deadline",
  alerts: [{ on: "long-running", afterMillis: 60_000, channel: "ops" }],
  retention: "7 days",
}

describe("Policy", () => {
  const Json = Schema.fromJsonString(TaskDefinition)

  it("reads what was stored before its newer fields existed, and writes it as it was", () => {
    const definition = Schema.decodeUnknownSync(Json)(stored)
    assert.strictEqual(Schema.encodeSync(Json)(definition), stored)
    assert.deepStrictEqual(Object.keys(definition.policy), Object.keys(JSON.parse(stored).policy))
  })

  it("is plain data: every field goes into JSON and comes back", () => {
    const optional = Object.keys(Policy.Policy.fields).filter((field) => !(field in usualPolicy))
    assert.deepStrictEqual(Object.keys(values).toSorted(), optional.toSorted())
    const whole = {
      ...usualPolicy,
      ...values,
      retry: {
        ...Retry.exponential({ attempts: 3, jitterKind: "wide", errors: Retry.except("Bad") }),
        withinMillis: 1,
      },
    }
    const decoded = Schema.decodeUnknownSync(Policy.Policy)(JSON.parse(JSON.stringify(whole)))
    assert.deepEqual(decoded, whole)
  })
})

describe("Policy.check", () => {
  it("takes what the engine acts on", () => {
    const given = {
      ...usualPolicy,
      retry: Retry.exponential({ attempts: 2, errors: Retry.only("Timeout") }),
      timeoutMillis: 10,
      blocking: { _tag: "Discard" },
      selector: "gpu",
      routing: { _tag: "Any" },
      isolation: "fiber",
      alerts: [],
      retention: "365 days",
    }
    assert.deepEqual(Result.getOrThrow(Policy.check(given)) as unknown, given)
  })

  for (const field of Policy.notYetCarriedOut) {
    it(`refuses ${field}, which nothing acts on yet`, () => {
      const given = { ...usualPolicy, [field]: values[field] }
      const refusal = refused(given)
      assert.strictEqual(refusal.field, `policy.${field}`)
      assert.include(refusal.reason, "not yet carried out")
      assert.isAbove(refusal.remedy.length, 10)
    })
  }

  it("leaves no field out that is neither acted on nor refused", () => {
    const actedOn = [
      "crashesWithinMillis",
      "order",
      "timeoutMillis",
      "deadlineMillis",
      "isolation",
      "blocking",
      "blockingScope",
      "selector",
      "routing",
      "resources",
      "touches",
      "backlog",
      "rateLimit",
      "breaker",
      "group",
      "retention",
    ]
    for (const [field, value] of Object.entries(values)) {
      // A scope says something of a blocking only.
      const beside = field === "blockingScope" ? { blocking: Blocking.fifo } : {}
      const given = { ...usualPolicy, ...beside, [field]: value }
      const isTaken = Result.isSuccess(Policy.check(given))
      assert.strictEqual(isTaken, actedOn.includes(field), field)
    }
  })

  it("knows how many runs an executor carries out at once", () => {
    const routing = Routing.roundRobin
    const places = (blocking: Blocking.Blocking, blockingScope: "executor" | "key" = "executor") =>
      Policy.ruleOfExecutor(
        Result.getOrThrow(Policy.check({ ...usualPolicy, blocking, blockingScope, routing })),
      )?.places
    assert.strictEqual(places(Blocking.fifo), 1)
    assert.strictEqual(places(Blocking.replace), 1)
    assert.strictEqual(places(Blocking.concurrent(7)), 7)
    assert.strictEqual(places(Blocking.concurrent(7), "key"), undefined)
    assert.strictEqual(Policy.ruleOfExecutor(usualPolicy), undefined)
  })

  it("refuses what an executor cannot decide about the runs of its own", () => {
    const refusal = refused({
      ...usualPolicy,
      blocking: Blocking.fair(2),
      blockingScope: "executor",
    })
    assert.strictEqual(refusal.field, "policy.blockingScope")
    assert.include(refusal.reason, "in common")
  })

  it("takes a group with a limit only where a run passes no other gate", () => {
    const group = Group.make("billing", { limit: 3 })
    const others = [
      { blocking: Blocking.fifo },
      { blocking: Blocking.fair(2), blockingScope: "key" },
      { touches: { db: "shared" } },
      { routing: Routing.broadcast },
      { routing: Routing.sharded(2) },
      { routing: Routing.consistentHash },
    ] as const
    for (const other of others) {
      const refusal = refused({ ...usualPolicy, ...other, group })
      assert.strictEqual(refusal.field, "policy.group")
      assert.match(refusal.reason, /gate/)
      assert.match(refusal.remedy, /without a limit/)
      const unlimited = { ...usualPolicy, ...other, group: Group.make("billing") }
      assert.isTrue(Result.isSuccess(Policy.check(unlimited)))
    }
    const apart = { blocking: Blocking.fifo, blockingScope: "executor" } as const
    for (const beside of [apart, { breaker: "sms" }, { routing: Routing.roundRobin }]) {
      assert.isTrue(Result.isSuccess(Policy.check({ ...usualPolicy, ...beside, group })))
    }
  })

  it("lets runs meet at an executor only where each has its executor", () => {
    for (const blocking of [Blocking.discard, Blocking.replace, Blocking.latest]) {
      const policy = { ...usualPolicy, blocking, blockingScope: "executor" }
      for (const any of [policy, { ...policy, routing: Routing.any }]) {
        const refusal = refused(any)
        assert.strictEqual(refusal.field, "policy.blockingScope")
        assert.include(refusal.reason, "meets no other one")
        assert.include(refusal.remedy, "Name a routing")
      }
      for (const placed of [{ routing: Routing.roundRobin }, { resources: { gpu: 1 } }]) {
        assert.isTrue(Result.isSuccess(Policy.check({ ...policy, ...placed })))
      }
    }
  })

  it("takes a scope with what blocks within it", () => {
    for (const blocking of [{ _tag: "Replace" }, { _tag: "Latest" }, { _tag: "Fifo" }]) {
      const given = { ...usualPolicy, blocking, blockingScope: "task" }
      assert.deepEqual(Result.getOrThrow(Policy.check(given)) as unknown, given)
    }
  })

  const byKey = { name: "gateway", by: "key" }

  const many = Object.fromEntries("abcdefghijklm".split("").map((name) => [name, "shared"]))

  for (
    const [given, field, reason, remedy] of [
      [{ blockingScope: "key" }, "policy.blockingScope", "nothing is said", "Blocking.fifo"],
      [
        { blocking: { _tag: "Fifo" }, touches: { db: "shared" } },
        "policy.touches",
        "one gate",
        "Leave blocking out",
      ],
      [{ touches: many }, "policy.touches", "more than 12", "one name"],
      [
        { resources: { gpu: 1 }, routing: { _tag: "Any" } },
        "policy.resources",
        "nobody counts",
        "ResourceAware",
      ],
      [{ breaker: byKey }, "policy.breaker", "nothing bounds", "Blocking.concurrent(10)"],
      [
        { breaker: byKey, blocking: Blocking.fifo, blockingScope: "task" },
        "policy.breaker",
        "nothing bounds",
        "one breaker for all",
      ],
      [
        { breaker: byKey, blocking: Blocking.fair(3) },
        "policy.breaker",
        "all keys share",
        "Blocking.concurrent",
      ],
      [
        { breaker: byKey, blocking: Blocking.fifo, routing: { _tag: "Broadcast" } },
        "policy.breaker",
        "parts",
        "another routing",
      ],
      [{ retry: { ...Retry.none, delayMillis: -1 } }, "policy.retry.delayMillis", "-1", "0"],
      [
        { crashesMax: 0, crashesWithinMillis: 5 },
        "policy.crashesWithinMillis",
        "none to forget",
        "survive some",
      ],
      [
        { retry: { ...Retry.none, withinMillis: 5 } },
        "policy.retry.withinMillis",
        "no attempt but the first",
        "more than one",
      ],
      [
        { retry: Retry.exponential({ attempts: 3, delayMillis: 50, withinMillis: 40 }) },
        "policy.retry.withinMillis",
        "no attempt but the first",
        "sooner",
      ],
      [{ retry: { ...Retry.none, attempts: 0 } }, "policy.retry.attempts", "0 is not", "1"],
      [{ retry: { ...Retry.none, attempts: 1.5 } }, "policy.retry.attempts", "1.5 is not", "Give"],
      [{ retry: { ...Retry.none, jitter: NaN } }, "policy.retry.jitter", "NaN", "Give"],
      [{ retry: { attempts: 1 } }, "policy.retry.delayMillis", "it is missing", "Give it"],
      [{ retry: { ...Retry.none, cap: 5 } }, "policy.retry.cap", "no such field", "Leave it out"],
      [
        { retry: { ...Retry.none, errors: { _tag: "Only", tags: [] } } },
        "policy.retry.errors.tags",
        "",
        "Give",
      ],
      [{ timeoutMillis: "1s" }, "policy.timeoutMillis", '"1s" is not', "Give"],
      [{ retention: "8 days" }, "policy.retention", "8 days", "30 days"],
      [{ level: 7 }, "policy.level", "7 is not", "0"],
      [{ delivery: "exactly-once" }, "policy.delivery", "exactly-once", "at-least-once"],
      [{ blocking: { _tag: "Concurrent", limit: 0 } }, "policy.blocking.limit", "0", "1"],
      [{ group: { name: "" } }, "policy.group.name", '""', "1"],
      [{ group: { name: "billing", limit: 0 } }, "policy.group.limit", "0 is not", "1"],
      [{ group: { name: "billing", max: 1 } }, "policy.group.max", "no such field", "Leave it out"],
      [{ selector: "a = " }, "policy.selector", "at character 5", "reason"],
      [{ rateLimit: { limit: 0, perMillis: 5 } }, "policy.rateLimit.limit", "0 is not", "1"],
      [{ resources: { "a b": 1 } }, "policy.resources.a b", "letters", "reason"],
      [{ routing: { _tag: "Sharded", count: 1001 } }, "policy.routing.count", "1001", "1000"],
    ] as const
  ) {
    it(`refuses ${JSON.stringify(given)} by the name of ${field}`, () => {
      const refusal = refused({ ...usualPolicy, ...given })
      assert.strictEqual(refusal.field, field)
      assert.include(refusal.reason, reason)
      assert.include(refusal.remedy, remedy)
    })
  }

  it("is not fooled by names that every object has", () => {
    for (const name of ["__proto__", "constructor", "toString"]) {
      const odd = JSON.parse(JSON.stringify(usualPolicy).replace("{", `{"${name}":{"level":0},`))
      assert.strictEqual(refused(odd).field, `policy.${name}`)
    }
  })
})

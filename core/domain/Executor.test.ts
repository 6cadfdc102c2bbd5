import { assert, describe, it } from "@effect/vitest"
import { DateTime, Result, Schema } from "effect"
import { type ExecutorView, healthOf, Joining, type Vitals } from "./Executor.ts"
import { countMax } from "./Labels.ts"
import { refusalOf } from "./Refused.ts"

const usual = { namespace: "default", name: "ada", capacity: 1, labels: {}, ttlMillis: 10_000 }

const decode = Schema.decodeUnknownResult(Joining)
const joining = (differently: object) =>
  Result.mapError(
    decode({ ...usual, ...differently }, { reportInput: true }),
    (error) => refusalOf(error, "executor"),
  )
const field = (differently: object) => Result.getOrThrow(Result.flip(joining(differently))).field

const many = <A>(count: number, value: A): Record<string, A> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`l${at}`, value]))

describe("what an executor says of itself", () => {
  it("may leave resources out, as those did that knew none", () =>
    assert.isTrue(Result.isSuccess(joining({}))))

  it("has up to so many labels and resources", () => {
    assert.isTrue(
      Result.isSuccess(joining({ labels: many(countMax, "x"), resources: many(countMax, 1) })),
    )
    assert.strictEqual(field({ labels: many(countMax + 1, "x") }), "executor.labels")
    assert.strictEqual(field({ resources: many(countMax + 1, 1) }), "executor.resources")
  })

  it("has names and values that a selector can write", () => {
    const longest = { labels: { ["l".repeat(63)]: "v".repeat(127), größe: "XL", "a/b.c_d-e": "+" } }
    assert.isTrue(Result.isSuccess(joining(longest)))
    for (const label of ["", "-a", "a b", "a,b", "a=b", "!a", "__proto__x", "l".repeat(64)]) {
      assert.strictEqual(field({ labels: { [label]: "x" } }), `executor.labels.${label || '""'}`)
    }
    for (const value of ["", " ", "a b", "(a)", "a,b", "v".repeat(128)]) {
      assert.strictEqual(field({ labels: { zone: value } }), "executor.labels.zone")
    }
  })

  it("has resources in amounts that are numbers, and not less than nothing", () => {
    assert.isTrue(Result.isSuccess(joining({ resources: { gpu: 0, memory: 0.5 } })))
    for (const amount of [-1, NaN, Infinity, "2", null]) {
      assert.strictEqual(field({ resources: { gpu: amount } }), "executor.resources.gpu")
    }
    assert.strictEqual(field({ resources: { "a b": 1 } }), "executor.resources.a b")
  })

  it("is not fooled by names that every object has", () => {
    const labels = JSON.parse('{"__proto__":"x","zone":"eu"}')
    const taken = joining({ labels })
    if (Result.isSuccess(taken)) {
      assert.deepStrictEqual(Object.getPrototypeOf(taken.success.labels), Object.prototype)
    } else assert.strictEqual(taken.failure.field, "executor.labels.__proto__")
  })
})

describe("how it goes with an executor", () => {
  const view = (standing: ExecutorView["standing"], vitals?: Partial<Vitals>): ExecutorView =>
    ({
      standing,
      joinedAt: DateTime.makeUnsafe(0),
      ...(vitals !== undefined && { vitals: { stuck: 0, running: 0, queued: 0, ...vitals } }),
    }) as ExecutorView

  it("G11: one that beats and does nothing is told from one that is gone", () => {
    assert.strictEqual(healthOf(view("live")), "well")
    assert.strictEqual(healthOf(view("draining", { running: 3 })), "well")
    assert.strictEqual(healthOf(view("live", { stuck: 1 })), "stuck")
    assert.strictEqual(healthOf(view("live", { stuck: 1, stalledMillis: 5000 })), "stalled")
    assert.strictEqual(healthOf(view("lost", { stalledMillis: 5000 })), "gone")
    assert.strictEqual(healthOf(view("left")), "gone")
  })
})

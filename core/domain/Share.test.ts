import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as Blocking from "./Blocking.ts"
import { Namespace } from "./Namespace.ts"
import { check, usualPolicy } from "./Policy.ts"
import * as Share from "./Share.ts"
import { TaskName } from "./TaskName.ts"
import * as Waiting from "./Waiting.ts"

const namespace = Namespace.make("shop")
const task = TaskName.make("mail/send")
const blocking = Blocking.fair(20, { gold: 3, "silver and more": 2 })
const gateOf = (key: string | undefined, of = task) =>
  Waiting.place(namespace, of, { ...usualPolicy, blocking }, key).gate!

describe("Share.gate", () => {
  it("tells the key and the weight of its runs, whatever is in the key", () => {
    for (
      const key of ["gold", "silver and more", "1 2", "", "a:b@c", "constructor", "line\nline"]
    ) {
      assert.strictEqual(Share.keyOf(gateOf(key).key), key)
      assert.strictEqual(Waiting.keyOf(gateOf(key).key), key)
      assert.isTrue(Share.isGate(gateOf(key).key))
    }
    assert.strictEqual(Share.keyOf(gateOf(undefined).key), "")
    assert.strictEqual(Share.costOf(gateOf("constructor").key), 1_000_000)
    assert.strictEqual(Share.costOf(gateOf("silver and more").key), 500_000)
    assert.strictEqual(Share.costOf(gateOf("gold").key), 333_333)
  })
  it("is of one pool with all others of its task, and of no other task's", () => {
    const pools = ["gold", "other", undefined].map((key) => Share.poolOf(gateOf(key).key))
    assert.strictEqual(new Set(pools).size, 1)
    for (const other of ["mail/sen", "mail/send2", "mail"]) {
      const { key } = gateOf("gold", TaskName.make(other))
      assert.isFalse(key.startsWith(pools[0]!))
      assert.isFalse(gateOf("gold").key.startsWith(Share.poolOf(key)))
    }
  })
  it("has the places of the task, which wait", () => {
    assert.deepInclude(gateOf("gold"), { places: 20, whenFull: "wait" })
  })
})

describe("Blocking.fair", () => {
  const refused = (policy: object) =>
    Result.getOrThrow(Result.flip(check({ ...usualPolicy, ...policy })))

  it("is refused with what it cannot keep, by the field", () => {
    assert.isTrue(Result.isSuccess(check({ ...usualPolicy, blocking })))
    assert.strictEqual(
      refused({ blocking, blockingScope: "task" }).field,
      "policy.blockingScope",
    )
    const weights = Object.fromEntries(Array.from({ length: 1001 }, (_, nth) => [`k${nth}`, 2]))
    assert.strictEqual(
      refused({ blocking: Blocking.fair(2, weights) }).field,
      "policy.blocking.weights",
    )
    for (
      const odd of [{ limit: 0 }, { limit: 2, weights: { a: 0 } }, {
        limit: 2,
        weights: { a: 1001 },
      }]
    ) {
      assert.match(refused({ blocking: { _tag: "Fair", ...odd } }).field, /^policy\.blocking/)
    }
  })
})

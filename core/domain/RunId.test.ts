import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as RunId from "./RunId.ts"

const millis = Date.UTC(2026, 10, 21, 4, 30)

describe("RunId.next", () => {
  it("rises with the clock, and tells the time of it", () => {
    const id = RunId.next(0, millis)
    assert.strictEqual(RunId.millisOf(id), millis)
    assert.isAbove(RunId.next(id, millis + 1), id)
    assert.strictEqual(RunId.millisOf(RunId.next(id, millis + 1)), millis + 1)
  })
  it("rises within a millisecond, and when the clock goes back", () => {
    let last = RunId.next(0, millis)
    for (const at of [millis, millis, millis - 1, millis - 86_400_000, 0]) {
      const next = RunId.next(last, at)
      assert.strictEqual(next, last + 1)
      last = next
    }
  })
  it("runs over into the next millisecond when one has not enough numbers", () => {
    let last = RunId.next(0, millis)
    for (let n = 0; n < 10_000; n++) last = RunId.next(last, millis)
    assert.strictEqual(RunId.millisOf(last), millis + 2)
    assert.isAbove(RunId.next(last, millis + 1), last)
  })
  it("is an id from the very first on, also before 2025", () => {
    assert.strictEqual(RunId.next(0, 0), 1)
  })
  it("stays a safe integer until the year 2094", () => {
    const id = RunId.next(0, Date.UTC(2094, 0, 1))
    assert.isTrue(Number.isSafeInteger(id))
    assert.strictEqual(RunId.RunId.make(id), id)
  })
})

describe("RunId.floor", () => {
  it("is the smallest id of its millisecond", () => {
    assert.isAbove(RunId.floor(millis), RunId.next(0, millis - 1))
    assert.strictEqual(RunId.next(0, millis), RunId.floor(millis))
  })
})

describe("RunIdFromString", () => {
  const decode = Schema.decodeUnknownSync(RunId.RunIdFromString)
  it("keeps every digit there and back", () => {
    for (const id of [1, RunId.next(0, millis), Number.MAX_SAFE_INTEGER]) {
      const text = Schema.encodeSync(RunId.RunIdFromString)(RunId.RunId.make(id))
      assert.strictEqual(text, `${id}`)
      assert.strictEqual(decode(text), id)
    }
  })
  it("refuses what is no id", () => {
    for (const text of ["", "0", "-1", "1.5", "x", "9007199254740993", "1e30", "NaN", 7, null]) {
      assert.throws(() => decode(text), undefined, undefined, `${text}`)
    }
  })
})

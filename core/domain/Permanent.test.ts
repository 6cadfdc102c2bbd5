import { assert, describe, it } from "vitest"
import * as Permanent from "./Permanent.ts"

const permanent = Permanent.usual
const minute = 60_000

describe("a permanent task", () => {
  it("is due at once when it has never run", () => {
    assert.strictEqual(Permanent.next(permanent, 500, [], 0), 500)
  })

  it("is due a second after a run that lived long", () => {
    const lives = [{ slot: 1000, livedMillis: minute }]
    assert.strictEqual(Permanent.next(permanent, 0, lives, 1000 + minute), 2000 + minute)
  })

  it("waits longer while its runs end soon, up to a cap, and is quick after a steady one", () => {
    const lives: Array<Permanent.Life> = []
    const delays: Array<number> = []
    let at = 0
    const run = (livedMillis: number) => {
      lives.unshift({ slot: at, livedMillis })
      const ended = at + livedMillis
      const next = Permanent.next(permanent, 0, lives.slice(0, Permanent.remembered), ended)
      delays.push(next - ended)
      at = next
    }
    for (let runs = 0; runs < 40; runs++) run(100)
    const expected = [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]
    assert.deepStrictEqual(delays.slice(0, 10), expected)
    assert.deepStrictEqual(new Set(delays.slice(10)), new Set([300_000]))
    run(minute)
    run(100)
    assert.deepStrictEqual(delays.slice(-2), [1000, 1000])
  })

  it("with a delay that does not grow is as far from the end of each run, also past the usual cap", () => {
    const steadily = { ...permanent, delayMillis: 10 * minute, growth: 1 }
    for (const livedMillis of [100, 2 * minute, 90 * minute]) {
      const lives = Array.from({ length: 5 }, (_, nth) => ({ slot: 10 - nth, livedMillis }))
      const ended = 10 + livedMillis
      assert.strictEqual(Permanent.next(steadily, 0, lives, ended), ended + 10 * minute)
    }
  })

  it("crashes for a day no more than a few hundred times", () => {
    const lives: Array<Permanent.Life> = []
    let runs = 0
    for (let at = 0; at < 86_400_000; runs++) {
      lives.unshift({ slot: at, livedMillis: 0 })
      at = Permanent.next(permanent, 0, lives.slice(0, Permanent.remembered), at)
    }
    assert.isBelow(runs, 300)
  })

  it("has a slot after its last one, also when the clock was set back", () => {
    assert.strictEqual(
      Permanent.next(permanent, 0, [{ slot: 10 * minute, livedMillis: 0 }], 5 * minute),
      10 * minute + 1,
    )
  })

  it("is due no earlier than it was resumed", () => {
    assert.strictEqual(
      Permanent.next(permanent, 9 * minute, [{ slot: 1000, livedMillis: 0 }], 2000),
      9 * minute,
    )
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as ClockStep from "./ClockStep.ts"

const hour = 3_600_000
const seen = (said: number, at: number, error = 0): ClockStep.Sighting => ({ said, at, error })

describe("a step of the clock", () => {
  it("is none while both clocks go alike, for however long", () => {
    assert.strictEqual(ClockStep.between(seen(5 * hour, 0), seen(5 * hour + 10, 10)), 0)
    assert.strictEqual(ClockStep.between(seen(5 * hour, 0), seen(29 * hour, 24 * hour)), 0)
  })

  for (const step of [hour, -hour, 501, -501]) {
    it(`of ${step} ms is found, whatever time went by`, () => {
      assert.strictEqual(ClockStep.between(seen(5 * hour, 7), seen(5 * hour + step, 7)), step)
      assert.strictEqual(
        ClockStep.between(seen(5 * hour, 7), seen(5 * hour + 90 + step, 97)),
        step,
      )
    })
  }

  it("is not concluded from a difference that clocks or slow answers have by themselves", () => {
    assert.strictEqual(ClockStep.between(seen(hour, 0), seen(hour + 500, 0)), 0)
    assert.strictEqual(ClockStep.between(seen(hour, 0, 300), seen(hour - 1200, 0, 400)), 0)
    assert.strictEqual(ClockStep.between(seen(hour, 0, 300), seen(hour - 1201, 0, 400)), -1201)
  })

  it("is what makes the clock differ from what was expected of it", () => {
    assert.strictEqual(ClockStep.expected(seen(hour, 40), 100), hour + 60)
  })
})

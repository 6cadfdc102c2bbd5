import { assert, describe, it } from "@effect/vitest"
import { isResting, type Pass, restAfter } from "./Leaving.ts"

const minute = 60_000

const rest = (pass: Partial<Pass>) =>
  restAfter({ now: 1000, revisions: 7, soonest: Infinity, taken: 0, ...pass })
const isAt = (pass: Partial<Pass>, now: number, revisions = 7) =>
  isResting(rest(pass), { now, revisions })

describe("after a pass", () => {
  it("that took nothing, the next is when the first thing may leave", () => {
    const soonest = 1000 + minute
    assert.isTrue(isAt({ soonest }, 1000))
    assert.isTrue(isAt({ soonest }, 999 + minute))
    assert.isFalse(isAt({ soonest }, 1000 + minute))
  })

  it("that saw nothing at all, the next is in a quarter of an hour", () => {
    assert.isTrue(isAt({}, 999 + 15 * minute))
    assert.isFalse(isAt({}, 1000 + 15 * minute))
  })

  it("the next is at once when it took something, or could have", () => {
    assert.isFalse(isAt({ taken: 1 }, 1001))
    assert.isFalse(isAt({ soonest: 900 }, 1001))
  })

  it("the next is at once when a task was defined anew, or the clock was set back", () => {
    assert.isFalse(isAt({}, 1001, 8))
    assert.isFalse(isAt({}, 999))
  })
})

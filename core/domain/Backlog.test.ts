import { assert, it } from "@effect/vitest"
import { isFull } from "./Backlog.ts"

it("is full from the high mark on, and until the low one", () => {
  const backlog = { high: 10, low: 4 }
  let isIt = false
  const course = [0, 9, 10, 9, 5, 4, 9, 11].map((depth) => isIt = isFull(backlog, isIt, depth))
  assert.deepEqual(course, [false, false, true, true, true, false, false, true])
  assert.isTrue(isFull({ high: 10 }, true, 10))
  assert.isFalse(isFull({ high: 10 }, true, 9))
  assert.isFalse(isFull({ high: 1 }, true, 0))
})

import { assert, describe, it } from "@effect/vitest"
import { Fence } from "./Lease.ts"
import * as Places from "./Places.ts"
import { RunId } from "./RunId.ts"

const held = (run: number, fence: number): Places.Held => ({
  run: RunId.make(run),
  fence: Fence.make(fence),
})

describe("Places.taken", () => {
  it("are those of grants that are still answered for, in their order", () => {
    const [a, b, c] = [held(1, 1), held(2, 1), held(3, 4)]
    assert.deepStrictEqual(Places.taken([a, b, c], [c, held(9, 9), a]), [a, c])
    assert.deepStrictEqual(Places.taken([a], []), [])
    assert.deepStrictEqual(Places.taken([], [a]), [])
  })

  it("counts a grant once, however often it is named", () => {
    assert.deepStrictEqual(Places.taken([held(1, 2), held(1, 2)], [held(1, 2)]), [held(1, 2)])
  })

  it("tells two grants of one run apart, while the report on the earlier one is under way", () => {
    const [before, now] = [held(1, 1), held(1, 2)]
    assert.deepStrictEqual(Places.taken([before, now], [now, before]), [before, now])
    assert.deepStrictEqual(Places.taken([before, now], [before]), [before])
  })
})

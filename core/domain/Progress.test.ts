import { assert, describe, it } from "@effect/vitest"
import * as Progress from "./Progress.ts"

describe("progress", () => {
  for (
    const [said, kept, words] of [
      [{ percent: 30, text: "resizing" }, { percent: 30, text: "resizing" }, "30 %: resizing"],
      [{ done: 3, total: 10 }, { percent: 30, done: 3, total: 10 }, "30 %, 3 of 10"],
      [{ done: 3 }, { done: 3 }, "3"],
      [{ percent: 250 }, { percent: 100 }, "100 %"],
      [{ percent: -1, text: "" }, { percent: 0, text: "" }, "0 %: "],
      [{ percent: NaN, done: Infinity, total: 0 }, { total: 0 }, ""],
      [{ done: 2.5, total: 5 }, { percent: 50, done: 2, total: 5 }, "50 %, 2 of 5"],
    ] as const
  ) {
    it(`said as ${JSON.stringify(said)} is within bounds, and told as "${words}"`, () => {
      assert.deepStrictEqual(Progress.of(said), kept)
      assert.strictEqual(Progress.describe(Progress.of(said)), words)
    })
  }

  it("has a text of bounded length", () => {
    assert.strictEqual(Progress.of({ text: "x".repeat(5000) }).text?.length, 1024)
  })
})

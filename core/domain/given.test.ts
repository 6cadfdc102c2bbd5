import { assert, describe, it } from "@effect/vitest"
import { shown } from "./given.ts"
import * as Lane from "./Lane.ts"

const knot: { self?: unknown } = {}
knot.self = knot

describe("what somebody gave", () => {
  for (
    const [given, words] of [
      ["soon", '"soon"'],
      [{ in: [1, null] }, '{"in":[1,null]}'],
      [NaN, "NaN"],
      [undefined, "undefined"],
      [5n, "bigint"],
      [knot, "object"],
      ["x".repeat(1000), `"${"x".repeat(128)}…`],
    ] as const
  ) {
    it(`is shown as ${words.slice(0, 20)}`, () => assert.strictEqual(shown(given), words))
  }

  it("is refused in words, also where JSON has none for it", () =>
    assert.strictEqual(Lane.flaw(5n)?.reason, "bigint is no level"))
})

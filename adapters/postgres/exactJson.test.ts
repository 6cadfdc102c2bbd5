import { assert, describe, it } from "@effect/vitest"
import { exactJson } from "./exactJson.ts"

describe("JSON with exact numbers", () => {
  for (
    const [text, value] of [
      ["0", 0],
      ["-0.0", -0],
      ["7", 7],
      ["0.10", 0.1],
      ["-12.5000", -12.5],
      ["1e3", 1000],
      ["100000000000000000000000", 1e23],
      ["0.00000012", 1.2e-7],
      ["9007199254740992", 9007199254740992],
      ["9007199254740993", "9007199254740993"],
      ["-9007199254740993", "-9007199254740993"],
      ["0.1234567890123456789", "0.1234567890123456789"],
      ["12345678901234567.89", "12345678901234567.89"],
      [`1${"0".repeat(400)}`, `1${"0".repeat(400)}`],
    ] as const
  ) {
    it(`reads ${text.slice(0, 30)}`, () => {
      assert.deepStrictEqual(exactJson(text), value)
      assert.deepStrictEqual(exactJson(`{"a":[${text},"x",null]}`), { a: [value, "x", null] })
    })
  }
})

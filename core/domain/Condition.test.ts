import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { type Clause, Condition, unmet, words } from "./Condition.ts"

const order = {
  total: 12,
  customer: { name: "Ada", "a/b": 1, "~": 2 },
  lines: [{ sku: "x" }, { sku: "y" }],
  note: null,
}

const clause = (at: string, is: Clause["is"], to?: Clause["to"]): Clause => ({
  at,
  is,
  ...(to !== undefined && { to }),
})

const holds = (at: string, is: Clause["is"], to?: Clause["to"]) =>
  unmet([clause(at, is, to)], order) === undefined

describe("Condition", () => {
  const rows: ReadonlyArray<readonly [string, Clause["is"], Clause["to"], boolean]> = [
    ["/total", "equal", 12, true],
    ["/total", "equal", "12", false],
    ["/total", "not equal", 12, false],
    ["/missing", "not equal", 12, true],
    ["/total", "less", 12, false],
    ["/total", "at most", 12, true],
    ["/total", "at least", 12, true],
    ["/total", "greater", 11.5, true],
    ["/customer/name", "less", "Bob", true],
    ["/customer/name", "greater", "Bob", false],
    // Not comparable is not so, either way.
    ["/customer/name", "less", 5, false],
    ["/customer/name", "at least", 5, false],
    ["/missing", "less", 5, false],
    ["/note", "less", 5, false],
    ["/note", "equal", null, true],
    ["/missing", "equal", null, false],
    ["/note", "present", undefined, true],
    ["/missing", "absent", undefined, true],
    ["/lines/1/sku", "equal", "y", true],
    ["/lines/2", "absent", undefined, true],
    ["/customer/a~1b", "equal", 1, true],
    ["/customer/~0", "equal", 2, true],
    ["", "present", undefined, true],
    ["/__proto__", "absent", undefined, true],
    ["/customer/name/length", "absent", undefined, true],
  ]
  for (const [at, is, to, expected] of rows) {
    it(`"${at}" ${is} ${JSON.stringify(to)} is ${expected}`, () => {
      assert.strictEqual(holds(at, is, to), expected)
    })
  }

  it("names the first clause that does not hold, of all that must", () => {
    const condition = [
      clause("/total", "equal", 12),
      clause("/note", "absent"),
      clause("/x", "present"),
    ]
    assert.deepStrictEqual(unmet(condition, order), condition[1])
    assert.isUndefined(unmet(condition.slice(0, 1), order))
    assert.isUndefined(unmet([], undefined))
    assert.isUndefined(unmet([clause("", "absent")], undefined))
  })

  it("says a clause as people do", () => {
    const said = [
      clause("/n", "equal", "x"),
      clause("/n", "less", 3),
      clause("/n", "at least", 3),
      clause("", "present"),
    ].map(words)
    assert.deepStrictEqual(said, [
      '/n is equal to "x"',
      "/n is less than 3",
      "/n is at least 3",
      "the result is present",
    ])
  })

  it("refuses a pointer that is none, and a comparison without or with too much", () => {
    const accepts = (value: unknown) =>
      Result.isSuccess(Schema.decodeUnknownResult(Condition)([value]))
    assert.isTrue(accepts({ at: "/a~1b/0", is: "equal", to: null }))
    assert.isTrue(accepts({ at: "", is: "absent" }))
    for (
      const wrong of [
        { at: "a", is: "present" },
        { at: "/a~2", is: "present" },
        { at: "/a", is: "equal" },
        { at: "/a", is: "present", to: 1 },
        { at: "/a", is: "like", to: "x" },
        { at: "/a", is: "equal", to: { deep: 1 } },
        { at: "/a", is: "equal", to: Infinity },
        { at: `/${"a".repeat(256)}`, is: "present" },
      ]
    ) assert.isFalse(accepts(wrong), JSON.stringify(wrong))
    const many = Array.from({ length: 17 }, () => clause("", "present"))
    assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(Condition)(many)))
  })
})

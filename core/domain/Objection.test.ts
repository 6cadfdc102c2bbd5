import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Objection from "./Objection.ts"
import { RunIdFromString } from "./RunId.ts"

const Shape = Schema.Union([
  Schema.Struct({ cron: Schema.String, zone: Schema.optionalKey(Schema.String) }),
  Schema.Struct({ at: Schema.String, jitter: Schema.optionalKey(Schema.Finite) }),
])
const Kind = Schema.TaggedUnion({ Skip: {}, All: { max: Schema.Int } })
const Change = Schema.Struct({
  max: Schema.optionalKey(Schema.Int),
  age: Schema.optionalKey(Schema.Int),
})
const Words = Schema.Literals([
  "one",
  "two",
  "three",
  "four",
  "five",
  "six",
  "seven",
  "eight",
  "nine",
])

describe("the first objection of a schema", () => {
  const cases: ReadonlyArray<
    readonly [Schema.Constraint, value: unknown, field: string, reason: string, remedy: string]
  > = [
    [Schema.Struct({ a: Schema.Int }), {}, "a", "it is missing", "Give it"],
    [Schema.Struct({ a: Schema.Int }), { a: "x" }, "a", '"x" is not a number', "Give a number"],
    [Schema.Struct({ a: Schema.Int }), { a: 1.5 }, "a", "1.5 is not an integer", "Give an integer"],
    [
      Schema.Struct({ name: Schema.optionalKey(Schema.Int) }),
      { nmae: 1 },
      "nmae",
      "there is no such field",
      "Leave it out, or write `name`",
    ],
    [
      Schema.Record(Schema.String, Schema.Finite),
      { "": "x" },
      '""',
      '"x" is not a number',
      "Give a number",
    ],
    [
      Schema.Array(Kind),
      [{ _tag: "Skip" }, "skip"],
      "1",
      '"skip" is not an object whose `_tag` is "Skip" or "All"',
      'Give an object whose `_tag` is "Skip" or "All"',
    ],
    [Schema.Array(Kind), [{ _tag: "All" }], "0.max", "it is missing", "Give it"],
    [
      Schema.NullOr(Schema.Literals(["a", "b"])),
      "c",
      "",
      '"c" is not "a", "b" or null',
      'Give "a", "b" or null',
    ],
    [
      Shape,
      {},
      "",
      "{} is not an object with `cron` or `at`",
      "Give an object with `cron` or `at`",
    ],
    [
      Change,
      "skip",
      "",
      '"skip" is not an object of `max` and `age`',
      "Give an object of `max` and `age`",
    ],
    [RunIdFromString, "abc", "", '"abc" is not the number of a run', "Give the number of a run"],
    [RunIdFromString, "0x10", "", '"0x10" is not the number of a run', "Give the number of a run"],
    [Shape, { cron: "x", at: "y" }, "", "it names both `at` and `cron`", "Name one of them"],
    [
      Shape,
      { at: "y", jiter: 1 },
      "jiter",
      "there is no such field",
      "Leave it out, or write `jitter`",
    ],
    [Shape, { at: "y", jitter: "z" }, "jitter", '"z" is not a number', "Give a number"],
    [Words, "thre", "", '"thre" is none of the 9 words there are', 'Did you mean "three"?'],
  ]
  for (const [schema, value, field, reason, remedy] of cases) {
    it(`${JSON.stringify(value)}: ${field}: ${reason}`, () => {
      assert.deepStrictEqual(of(schema, value), { field, reason, remedy })
    })
  }

  it("is as short as it is asked to be, whatever was given", () => {
    const { reason, remedy } = of(Shape, { ["k".repeat(9000)]: "v".repeat(9000) })
    assert.isAtMost(reason.length, 500)
    assert.isAtMost(remedy.length, 500)
    assert.isAtMost(of(Schema.Struct({ a: Schema.Int }), "v".repeat(9000)).reason.length, 200)
  })

  it("tells nothing of what was given unless it is asked for", () => {
    const read = Schema.decodeUnknownResult(Kind)("a secret")
    assert.isTrue(Result.isFailure(read))
    if (Result.isFailure(read)) {
      assert.notInclude(Objection.first(read.failure.issue).reason, "secret")
    }
  })
})

const of = (schema: Schema.Constraint, value: unknown) => {
  const read = Schema.decodeUnknownResult(schema as Schema.Codec<unknown>)(
    value,
    Objection.strictly,
  )
  if (Result.isSuccess(read)) throw new Error("it was taken")
  const { path, reason, remedy } = Objection.first(read.failure.issue)
  return { field: Objection.fieldOf(path), reason, remedy }
}

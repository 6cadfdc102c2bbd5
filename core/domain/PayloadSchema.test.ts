import { assert, describe, it } from "@effect/vitest"
import { Exit, Result, Schema } from "effect"
import * as PayloadSchema from "./PayloadSchema.ts"

interface Tree {
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)),
}).annotate({ identifier: "Tree" })

class Item extends Schema.Class<Item>("Item")({
  sku: Schema.NonEmptyString,
  count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
}) {}

const Order = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^o-\d+$/)),
  items: Schema.Array(Item),
  kind: Schema.Literals(["gift", "plain"]),
  note: Schema.optionalKey(Schema.String),
})
const order = { id: "o-1", items: [{ sku: "a", count: 1 }], kind: "gift" }

/** Codecs of many sorts, and JSON that some of them take, and others do not. */
// deno-lint-ignore no-explicit-any -- codecs are invariant
const codecs: Readonly<Record<string, Schema.Codec<any, any>>> = {
  order: Order,
  tree: Tree,
  item: Item,
  nothing: Schema.Struct({}),
  number: Schema.Number,
  date: Schema.Struct({ at: Schema.Date, day: Schema.DateTimeUtcFromString }),
  big: Schema.Struct({ n: Schema.BigInt }),
  optional: Schema.Struct({ n: Schema.optional(Schema.Int) }),
  option: Schema.Struct({ n: Schema.Option(Schema.Int) }),
  union: Schema.TaggedUnion({ A: { x: Schema.Int }, B: { y: Schema.String } }),
  record: Schema.Record(Schema.String, Schema.Int),
  keys: Schema.Record(Schema.TemplateLiteral(["a", Schema.String]), Schema.Int),
  tuple: Schema.Tuple([Schema.Int, Schema.String]),
  bytes: Schema.Uint8Array,
  whatever: Schema.Unknown,
  checked: Schema.String.check(Schema.makeFilter((text: string) => text.length > 3)),
  declared: Schema.declare((value): value is URL => value instanceof URL),
  short: Schema.String.check(Schema.isMaxLength(2)),
  both: Schema.Union([Schema.Struct({ a: Schema.Int }), Schema.Struct({ b: Schema.Int })], {
    mode: "oneOf",
  }),
}
const values: ReadonlyArray<unknown> = [
  order,
  { ...order, more: true },
  { ...order, note: 3 },
  { ...order, id: "7" },
  { children: [{ children: [] }] },
  { children: [{ children: {} }] },
  { sku: "", count: 1 },
  { sku: "s", count: 9 },
  {},
  [],
  null,
  0,
  1.5,
  "NaN",
  "text",
  "🎩🎩",
  "ok",
  { at: "2031-01-01T00:00:00.000Z", day: "2031-01-01" },
  { at: "never", day: "" },
  { n: "12345678901234567890" },
  { n: 1 },
  { n: null },
  { n: { _tag: "None" } },
  { n: { _tag: "Some", value: 1 } },
  { _tag: "A", x: 1 },
  { _tag: "B", x: 1 },
  { a: 1, b: 2 },
  { ab: 1, c: "x" },
  { a: 1 },
  [1, "a"],
  [1],
  "AAEC",
]

const schemasOf = (codec: Schema.Constraint) => [PayloadSchema.of(codec)]
const refusalOf = (codec: Schema.Constraint, payload: unknown) =>
  Result.getOrThrow(Result.flip(PayloadSchema.check(schemasOf(codec), payload)))

describe("the schema of a payload", () => {
  for (const [name, codec] of Object.entries(codecs)) {
    it(`refuses nothing that the code would take: ${name}`, () => {
      const decode = Schema.decodeUnknownExit(Schema.toCodecJson(codec))
      const [schema] = schemasOf(codec)
      // As it comes back from a storage.
      const kept = [JSON.parse(JSON.stringify(schema))]
      for (const value of values) {
        if (Exit.isFailure(decode(value))) continue
        assert.isTrue(Result.isSuccess(PayloadSchema.check(kept, value)), JSON.stringify(value))
      }
    })
  }

  it("names the field, what is wrong with it, and what to give instead", () => {
    const item = (differently: object) => ({
      ...order,
      items: [{ sku: "a", count: 1 }, { sku: "a", count: 1, ...differently }],
    })
    assert.deepInclude(refusalOf(Order, item({ count: "two" })), {
      field: "payload.items.1.count",
      reason: "it is not a number",
    })
    for (
      const [payload, field] of [
        [{ ...order, id: 7 }, "payload.id"],
        [{ ...order, kind: "dear" }, "payload.kind"],
        [{ ...order, note: null }, "payload.note"],
        [{ id: "o-1", kind: "gift" }, "payload.items"],
        [item({ sku: "" }), "payload.items.1.sku"],
        [item({ count: 10 }), "payload.items.1.count"],
        [[], "payload"],
      ] as const
    ) {
      const refused = refusalOf(Order, payload)
      assert.strictEqual(refused.field, field)
      assert.match(refused.reason, /\S/)
      assert.match(refused.remedy, /\S/)
    }
    assert.include(refusalOf(Tree, { children: [{ children: 1 }] }).field, "children.0.children")
  })

  it("is asked of the version that the payload says it is of", () => {
    const schemas = [
      PayloadSchema.of(Schema.Struct({ amount: Schema.Int })),
      null,
      PayloadSchema.of(Schema.Struct({ total: Schema.Int })),
    ]
    const isTaken = (payload: unknown) => Result.isSuccess(PayloadSchema.check(schemas, payload))
    assert.isTrue(isTaken({ amount: 1 }))
    assert.isFalse(isTaken({ total: 1 }), "without a version it is of the first")
    assert.isTrue(isTaken({ $version: 2, anything: 1 }), "nothing is said of that one")
    assert.isTrue(isTaken({ $version: 3, total: 1 }))
    assert.isFalse(isTaken({ $version: 3, amount: 1 }))
    assert.isTrue(isTaken({ $version: 4, any: 1 }), "it is for executors that know it")
    assert.isTrue(Result.isSuccess(PayloadSchema.check(undefined, 1)))
  })

  it("is left out where it says nothing, is too long, or has text that not every storage keeps", () => {
    assert.isNull(PayloadSchema.of(Schema.Struct({ end: Schema.Literal("\0") })))
    assert.isNull(PayloadSchema.of(Schema.Struct({ ["\ud800"]: Schema.Int })))
    const isKept = Schema.is(PayloadSchema.PayloadSchemas)
    assert.isFalse(isKept([{ enum: [["\0"]] }]))
    assert.isTrue(isKept([{ pattern: "\\u0000" }, null]))

    assert.isNull(PayloadSchema.of(Schema.Unknown))
    assert.isNull(PayloadSchema.of(codecs["declared"]!))
    const fields = Array.from({ length: 5000 }, (_, n) => [`field${n}`, Schema.String] as const)
    assert.isNull(PayloadSchema.of(Schema.Struct(Object.fromEntries(fields))))
  })

  it("that cannot be read back lets everything through", () => {
    for (const schema of [{ $ref: "#/$defs/none" }, { type: "string", pattern: "(" }, { not: 3 }]) {
      assert.isTrue(Result.isSuccess(PayloadSchema.check([schema as never], 1)))
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { GateKey } from "./Blocking.ts"
import { LockKey } from "./Lease.ts"
import * as Text from "./Text.ts"

describe("text that is kept", () => {
  for (
    const text of ["", "a", "\u0001\u001f\u007f", "Ада é e\u0301", "\u{1F514}", "\ufffd\uffff"]
  ) {
    it(`may be ${JSON.stringify(text)}`, () => assert.isUndefined(Text.flaw(text)))
  }

  for (
    const [what, text, flaw] of [
      ["a NUL", "a\0b", "NUL"],
      ["a high surrogate alone", "a\ud83d", "surrogate"],
      ["a low surrogate first", "\udd14\ud83d", "surrogate"],
    ] as const
  ) {
    it(`has not ${what}`, () => {
      assert.include(Text.flaw(text), flaw)
      assert.isFalse(Schema.is(LockKey)(text))
      assert.isFalse(Schema.is(GateKey)(text))
    })
  }

  it("may be any JSON text, which escapes them", () =>
    assert.isUndefined(Text.flaw(JSON.stringify("\0 \ud83d"))))
})

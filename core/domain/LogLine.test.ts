import { assert, describe, it } from "@effect/vitest"
import * as LogLine from "./LogLine.ts"

describe("a log line", () => {
  for (
    const [what, text, clean] of [
      ["keeps its line feeds and tabs", "a\n\tb", "a\n\tb"],
      ["loses colours", "\u001b[1;31mred\u001b[0m", "red"],
      ["loses links and titles", "\u001b]0;title\u0007x\u001b]8;;http://a\u001b\\y", "xy"],
      ["loses control characters", "a\0b\u0008c\rd\u009be", "abcde"],
      ["loses marks that turn text around", "a\u202eb\u2066c", "abc"],
      ["keeps markup as the text that it is", "<img onerror=x>", "<img onerror=x>"],
      ["has whole characters", "a\ud83d", "a\ufffd"],
    ] as const
  ) {
    it(what, () => assert.strictEqual(LogLine.cleaned(text), clean))
  }

  it("is cut to its bound", () => {
    const cut = LogLine.cleaned("x".repeat(LogLine.textMax + 1))
    assert.strictEqual(cut.length, LogLine.textMax)
    assert.isTrue(cut.endsWith("…"))
  })
})

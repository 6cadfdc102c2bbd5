import { assert, describe, it } from "@effect/vitest"
import { causesMax, failureOf } from "./failures.ts"

describe("what is stored of a failure", () => {
  it("A19: tag, message and stack, and those of what it came from, the nearest first", () => {
    const disk = new RangeError("no space left")
    const written = new Error("could not write", { cause: disk })
    const failure = failureOf(new TypeError("no report", { cause: written }))
    assert.deepInclude(failure, { tag: "TypeError", message: "no report" })
    assert.include(failure.stack, "failures.test.ts")
    assert.deepStrictEqual(
      failure.causes?.map(({ message, tag }) => [tag, message]),
      [["Error", "could not write"], ["RangeError", "no space left"]],
    )
    assert.include(failure.causes?.[1]?.stack, "failures.test.ts")
    assert.deepStrictEqual(
      failureOf(new Error("no", { cause: "a text" })).causes,
      [{ tag: "Failure", message: "a text" }],
    )
    assert.notProperty(failureOf(new Error("alone")), "causes")
  })

  it("ends where causes go round, and is bounded", () => {
    const round = new Error("round")
    round.cause = new Error("and", { cause: round })
    assert.deepStrictEqual(failureOf(round).causes?.map(({ message }) => message), ["and"])
    let deep = new Error("x".repeat(100_000))
    for (let n = 0; n < 100; n++) deep = new Error(`nr ${n} ${"x".repeat(9000)}`, { cause: deep })
    const failure = failureOf(deep)
    assert.isAtMost(failure.causes!.length, causesMax)
    assert.isBelow(JSON.stringify(failure).length, 60_000)
  })
})

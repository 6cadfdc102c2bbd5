import { assert, describe, it } from "@effect/vitest"
import * as Rollback from "./Rollback.ts"

describe("Rollback", () => {
  const asked = Rollback.asked({ by: "Ada", note: "twice" })

  it("says who asked, and why, as far as that is known", () => {
    assert.strictEqual(asked.message, "Ada asked for it to be rolled back: twice")
    const { message } = Rollback.asked({ note: "" })
    assert.strictEqual(message, "somebody asked for it to be rolled back")
  })

  it("is known by the cause of what the run fails with, however it goes on", () => {
    const why = { tag: "Error", message: "no", causes: [{ tag: "Timeout", message: "late" }] }
    for (
      const failure of [
        Rollback.conclusion(asked, undefined).failure,
        Rollback.done(asked),
        Rollback.failed(asked, why),
      ]
    ) assert.deepStrictEqual(Rollback.askedOf(failure), asked)
    assert.isUndefined(Rollback.askedOf(asked))
    assert.isUndefined(Rollback.askedOf(Rollback.failed({ tag: "Boom", message: "" }, why)))
  })

  it("tells why it failed, within bounds", () => {
    const cause = { tag: "Timeout", message: "late" }
    const why = { tag: "Error", message: "x".repeat(4096), causes: Array(8).fill(cause) }
    const { causes, message, tag } = Rollback.failed(asked, why)
    assert.strictEqual(tag, "RollbackFailed")
    assert.strictEqual(message.length, 4096)
    assert.deepStrictEqual(causes, [asked, ...Array(7).fill(cause)])
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as Change from "./Change.ts"

const now = 1_000_000
const waiting = { fence: 0, deadlineAt: now + 5, revision: 2 }

describe("Change", () => {
  it("refuses what is based on another revision, whatever is changed", () => {
    for (const change of [{ level: 0 }, { deadlineMillis: 5 }, { deadlineMillis: null }] as const) {
      for (const revision of [1, 3]) {
        assert.strictEqual(Change.refused(now, waiting, { ...change, revision }), "stale")
      }
      for (const revision of [undefined, 2]) {
        assert.isUndefined(Change.refused(now, waiting, { ...change, revision }))
      }
    }
  })

  it("refuses another deadline of what was granted, or is too late, and no other level", () => {
    for (const deadlineMillis of [5, null]) {
      assert.strictEqual(Change.refused(now, { ...waiting, fence: 1 }, { deadlineMillis }), "begun")
      for (const deadlineAt of [now, now - 1]) {
        assert.strictEqual(
          Change.refused(now, { ...waiting, deadlineAt }, { deadlineMillis }),
          "late",
        )
      }
    }
    assert.isUndefined(
      Change.refused(now, { fence: 1, deadlineAt: now, revision: 1 }, { level: 0 }),
    )
  })

  it("moves a deadline from now, takes it away, or leaves it", () => {
    assert.strictEqual(Change.deadlineOf(now, waiting, { deadlineMillis: 70 }), now + 70)
    assert.isUndefined(Change.deadlineOf(now, waiting, { deadlineMillis: null }))
    assert.strictEqual(Change.deadlineOf(now, waiting, { level: 0 }), now + 5)
  })

  it("says of each field what it was and is", () => {
    assert.deepStrictEqual(
      Change.said(
        { level: 1, deadlineAt: undefined },
        { level: 0, deadlineAt: 0 },
        { level: 0, deadlineMillis: 1 },
      ),
      [["LevelSet", "usual → urgent"], ["DeadlineSet", "none → 1970-01-01T00:00:00.000Z"]],
    )
  })
})

import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { Fence } from "./Lease.ts"
import type { RunHappening } from "./RunView.ts"
import { untold } from "./untold.ts"

const happened = (seconds: number, kind: string, more: Partial<RunHappening> = {}) => ({
  at: DateTime.makeUnsafe(seconds * 1000),
  kind,
  attempt: 1,
  fence: Fence.make(1),
  ...more,
})

describe("what is untold of a run", () => {
  const first = [happened(1, "Submitted"), happened(3, "Claimed")]

  it("is each event once, also one that comes before others that were told", () => {
    const told = new Set<string>()
    assert.deepStrictEqual(untold(told, first), first)
    assert.deepStrictEqual(untold(told, first), [])
    const late = happened(2, "LevelSet", { detail: "usual → urgent" })
    const again = happened(2, "LevelSet", { detail: "urgent → low" })
    assert.deepStrictEqual(untold(told, [first[0]!, late, again, first[1]!]), [late, again])
  })

  it("is what is new where the earliest are left out", () => {
    const told = new Set<string>()
    untold(told, first)
    const last = happened(4, "Succeeded")
    assert.deepStrictEqual(untold(told, [first[1]!, last]), [last])
  })
})

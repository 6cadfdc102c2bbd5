import { assert, describe, it } from "@effect/vitest"
import * as Blocking from "./Blocking.ts"
import * as FanIn from "./FanIn.ts"
import { Namespace } from "./Namespace.ts"
import { RunId } from "./RunId.ts"
import { TaskName } from "./Task.ts"

const parent = RunId.make(Number.MAX_SAFE_INTEGER)

describe("FanIn", () => {
  it("knows its gates from all others", () => {
    assert.strictEqual(FanIn.parentOf(FanIn.gate(parent, 3).key), parent)
    const other = Blocking.gate(
      Namespace.make("ns"),
      TaskName.make("t"),
      Blocking.fifo,
      ":children of 1",
    )
    assert.isUndefined(FanIn.parentOf(other.key))
  })

  it("knows the keys of children, the longest too", () => {
    assert.isTrue(FanIn.mayBeKey(FanIn.keyOf({ parent, index: 999, count: 1000 })))
    for (const key of ["", "12", "12.0", "12.0/", "a12.0/1", "12.0/1 ", "12.00000/1"]) {
      assert.isFalse(FanIn.mayBeKey(key), key)
    }
  })

  const cases = [
    [["Succeeded", "Succeeded"], "Succeeded"],
    [["Succeeded", "Cancelled"], "Cancelled"],
    [["Cancelled", "Quarantined", "Succeeded"], "Failed"],
    [["TimedOut"], "Failed"],
    [["Expired"], "Failed"],
  ] as const
  for (const [children, verdict] of cases) {
    it(`${children.join(", ")} → ${verdict}`, () => {
      assert.strictEqual(FanIn.verdict(children), verdict)
    })
  }
})

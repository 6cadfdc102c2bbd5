import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Deadline from "./Deadline.ts"
import * as Delay from "./Delay.ts"

describe("a delay", () => {
  it("is nothing up to 366 days, and any way of writing it", () => {
    const taken = [0, 5n, "5 seconds", "366 days", [1, 5], { hours: 1, minutes: 5 }, {
      days: 0,
    }] as const
    for (const delay of [...taken, Duration.hours(1)]) {
      assert.isUndefined(Delay.flaw(delay))
    }
    const spellsNone = [{}, { minute: 5 }, { hours: 1, minute: 5 }, new Date()]
    for (const delay of [-1, "-5 seconds", "367 days", Infinity, "soon", null, ...spellsNone]) {
      const flaw = Delay.flaw(delay as Duration.Input)
      assert.strictEqual(flaw?.field, "delay", String(delay))
      assert.isAbove(flaw?.remedy.length ?? 0, 10)
    }
  })
})

describe("a deadline", () => {
  it("is to come, and within 366 days", () => {
    assert.isUndefined(Deadline.flaw(1))
    for (const deadline of [0, -1, "367 days", "soon"]) {
      assert.strictEqual(Deadline.flaw(deadline as Duration.Input)?.field, "deadline")
    }
  })

  it("comes after the delay, as nobody could begin it in time", () => {
    assert.isUndefined(Deadline.flaw("6 seconds", "5 seconds"))
    for (const deadline of ["1 second", "5 seconds"] as const) {
      assert.match(Deadline.flaw(deadline, "5 seconds")!.reason, /due in 5000 ms/)
    }
  })
})

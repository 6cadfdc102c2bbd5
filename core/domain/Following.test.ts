import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Ends from "./Ends.ts"
import { type Ended, judge, type Rule } from "./Following.ts"
import { finals } from "./Run.ts"
import { RunId } from "./RunId.ts"
import { TaskName } from "./TaskName.ts"

const task = TaskName.make("books/close")
const rule: Rule = { task, on: ["Succeeded"] }
const ended: Ended = {
  run: RunId.make(7),
  task,
  state: "Succeeded",
  attempt: 2,
  at: Date.UTC(2031, 0, 2, 3, 4, 5, 678),
  result: '{"n":3}',
}
const judged = (differently: Partial<Rule>, how: Partial<Ended> = {}, most = 1000) =>
  Result.getOrElse(
    judge({ ...rule, ...differently }, '"own"', { ...ended, ...how }, most),
    (reason) => `no: ${reason}`,
  )

describe("Following", () => {
  it("gives its own payload, the result, or what has happened", () => {
    assert.strictEqual(judged({}), '"own"')
    assert.strictEqual(judged({ passing: "result" }), '{"n":3}')
    assert.strictEqual(judged({ passing: "result" }, { result: undefined }), "null")
    assert.deepStrictEqual(JSON.parse(judged({ passing: "event" })), {
      run: "7",
      task: "books/close",
      state: "Succeeded",
      attempt: 2,
      at: "2031-01-02T03:04:05.678Z",
      result: { n: 3 },
    })
    const failure = { tag: "Boom", message: "it broke", stack: "at …", error: "{}" }
    const failed = judged({ on: ["Failed"], passing: "event" }, {
      state: "Failed",
      result: undefined,
      failure,
    })
    assert.deepStrictEqual(JSON.parse(failed).failure, { tag: "Boom", message: "it broke" })
    assert.notProperty(JSON.parse(failed), "result")
  })

  it("says why not: another end or task, a clause that does not hold, too much to pass on", () => {
    assert.match(judged({}, { state: "Failed" }), /does not follow Failed of books\/close/)
    assert.match(judged({ task: TaskName.make("other") }), /does not follow Succeeded/)
    const when = [{ at: "/n", is: "greater", to: 3 }] as const
    assert.strictEqual(judged({ when }), "no: not so: /n is greater than 3")
    assert.strictEqual(judged({ when }, { result: '{"n":4}' }), '"own"')
    assert.match(judged({ when }, { result: undefined }), /not so/)
    assert.match(judged({ passing: "result" }, {}, 6), /has 7 bytes, and a payload at most 6/)
    // Three bytes to each character.
    assert.match(judged({ passing: "result" }, { result: '"€€€"' }, 10), /has 11 bytes/)
    assert.strictEqual(judged({ passing: "result" }, { result: '"€€€"' }, 11), '"€€€"')
    assert.strictEqual(judged({}, {}, 1), '"own"', "its own was measured when it was put")
  })
})

describe("Ends", () => {
  it("are the same in any order, and as bits", () => {
    const ends = Ends.of(["Expired", "Failed", "Expired"])
    assert.deepStrictEqual(ends, ["Failed", "Expired"])
    assert.deepStrictEqual(Ends.resolve("any"), finals)
    for (const each of [ends, Ends.resolve("failure"), Ends.resolve("success"), finals]) {
      assert.deepStrictEqual(Ends.ofBits(Ends.bitsOf(each)), each)
      assert.isTrue(Result.isSuccess(Schema.decodeUnknownResult(Ends.Ends)(each)))
    }
    for (const wrong of [[], ["Expired", "Failed"], ["Failed", "Failed"], ["Ready"]]) {
      assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(Ends.Ends)(wrong)))
    }
  })
})

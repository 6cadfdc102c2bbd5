import { assert, describe, it } from "@effect/vitest"
import { Fence } from "../domain/Lease.ts"
import { RunId } from "../domain/RunId.ts"
import { charsOf, toldCharsMax, toldLinesMax } from "../services/LogStorage.ts"
import { Telling } from "./Telling.ts"

const telling = () => new Telling(RunId.make(1), Fence.make(2))

/** All that is told, part by part. */
const all = (it: Telling) => {
  const parts = []
  for (let part = it.take(0); part !== undefined; part = it.take(0)) {
    parts.push(part)
    it.told()
  }
  return parts
}

describe("what a run says", () => {
  it("is told in parts that are numbered on, one at a time", () => {
    const it = telling()
    it.say("Info", "a", 1000)
    it.say("Warn", "b", 1600)
    const first = it.take(2000)!
    assert.deepStrictEqual(first, {
      run: RunId.make(1),
      fence: Fence.make(2),
      first: 1,
      lines: [
        { level: "Info", text: "a", agoMillis: 1000 },
        { level: "Warn", text: "b", agoMillis: 400 },
      ],
    })
    it.say("Info", "c", 2000)
    assert.isUndefined(it.take(2000), "one part is under way")
    assert.isFalse(it.isOver)
    it.told()
    assert.strictEqual(it.take(2000)!.first, 3)
    it.told()
    assert.isTrue(it.isOver)
  })

  it("has one word about its progress: the last", () => {
    const it = telling()
    it.reached({ percent: 1 })
    it.reached({ percent: 2 })
    assert.deepStrictEqual(it.take(0)!.progress, { percent: 2, sequence: 1 })
    it.told()
    it.reached({ text: "done" })
    assert.deepStrictEqual(it.take(0)!.progress, { text: "done", sequence: 2 })
  })

  it("comes in parts of bounded size", () => {
    const it = telling()
    for (let n = 0; n < 600; n++) it.say("Info", "x".repeat(600), 0)
    const parts = all(it)
    assert.strictEqual(parts.flatMap(({ lines }) => lines).length, 600)
    for (const part of parts) {
      assert.isAtMost(part.lines.length, toldLinesMax)
      assert.isAtMost(charsOf(part), toldCharsMax)
    }
    assert.deepStrictEqual(
      parts.map(({ first }) => first),
      parts.map((_, at) =>
        1 + parts.slice(0, at).reduce((sum, { lines }) => sum + lines.length, 0)
      ),
    )
  })

  it("has a mark where lines came too fast", () => {
    const it = telling()
    for (let n = 0; n < 1500; n++) it.say("Info", `${n}`, 0)
    const lines = all(it).flatMap(({ lines }) => lines)
    assert.strictEqual(lines.length, 1001)
    assert.deepInclude(lines[1000], { leftOut: 500 })
    it.say("Info", "again", 0)
    assert.strictEqual(all(it)[0]!.lines[0]!.text, "again")
  })

  it("ends at its bound with one mark, at the end", () => {
    const it = telling()
    const lines = []
    for (let n = 0; n < 12_000; n++) {
      it.say("Info", `${n}`, 0)
      if (n % 500 === 0) lines.push(...all(it).flatMap(({ lines }) => lines))
    }
    lines.push(...all(it).flatMap(({ lines }) => lines))
    assert.strictEqual(lines.length, 10_000)
    assert.isTrue(it.isOver)
    it.finish()
    assert.isFalse(it.isOver)
    const [last] = all(it)
    assert.deepInclude(last!.lines[0], { leftOut: 2000 })
    assert.isTrue(it.isOver)
  })

  it("is cut line by line", () => {
    const it = telling()
    it.say("Info", "x".repeat(20_000), 0)
    assert.strictEqual(it.take(0)!.lines[0]!.text.length, 16_384)
  })
})

import { assert, describe, it } from "@effect/vitest"
import type { Level } from "../domain/Lane.ts"
import { every, type Rival, Turns } from "./Turns.ts"

interface Named extends Rival {
  readonly name: string
}

/** Who has so many places, one after the other, while all have work. */
const places = (levels: Readonly<Record<string, Level>>, count: number) => {
  const turns = new Turns()
  const contenders = Object.entries(levels)
    .map(([name, level]) => ({ rival: { name, passed: 0 } as Named, level }))
  return Array.from({ length: count }, () => turns.next(contenders)!.rival.name).join("")
}

describe("turns", () => {
  it("go to and fro between those of one level", () => {
    assert.strictEqual(places({ a: 1, b: 1, c: 1 }, 6), "abcabc")
  })

  it("go to the better level, and one of every few to who is behind", () => {
    assert.strictEqual(places({ a: 0, b: 4 }, 2 * every), "aaaaaaabaaaaaaab")
  })

  it("leave the better level as much however many are behind, and each of those has one", () => {
    const order = places({ a: 0, b: 2, c: 4, d: 4 }, 4 * every)
    assert.strictEqual(order.replaceAll(/[bcd]/g, "").length, 4 * (every - 1))
    assert.strictEqual(order.replaceAll("a", ""), "bcdb")
  })

  it("know nobody alone, and no one", () => {
    assert.strictEqual(places({ a: 4 }, 3), "aaa")
    assert.isUndefined(new Turns().next([]))
  })
})

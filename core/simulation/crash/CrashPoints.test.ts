/**
 * Every point of every path is hit by every fault, one at a time: a process dies at each call of its
 * storage or transport, the call fails, or nobody knows what became of it. Whatever was hit, nothing
 * is lost, nothing is done twice without a reason that is written down, and everything ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mistakes } from "../mistakes/mod.ts"
import type { Mistake } from "../World.ts"
import { type Path, paths } from "./paths.ts"
import { faults } from "./Points.ts"
import { walk, wrongOf } from "./World.ts"

/** Long enough for a slow machine. */
const timeout = 300_000

/** What was wrong in all cases of the path, at most so many. */
const enumerate = async (path: Path, mistake: Mistake | undefined, most: number) => {
  const { operations } = await Effect.runPromise(walk(path))
  const wrong: Array<string> = []
  for (const [point, operation] of operations.entries()) {
    for (const fault of faults) {
      const walked = await Effect.runPromise(walk(path, { point, fault }, mistake))
      assert.strictEqual(walked.hit, operation)
      const name = `${path.name}, point ${point}, ${operation} ${fault}`
      wrong.push(...wrongOf(path, walked).map((what) => `${name}: ${what}`))
      if (wrong.length >= most) return { operations, wrong }
    }
  }
  return { operations, wrong }
}

describe("crash points", () => {
  for (const path of paths) {
    it(`of ${path.name}`, { timeout }, async () => {
      const untouched = await Effect.runPromise(walk(path))
      assert.deepStrictEqual(wrongOf(path, untouched), [])
      const { operations, wrong } = await enumerate(path, undefined, 20)
      assert.deepStrictEqual(wrong, [])
      // A path that has lost its points is not looked at any more.
      assert.isAtLeast(operations.length, path.points)
      assert.includeMembers([...new Set(operations)], [...path.calls])
    })
  }

  it("find a report that counts whatever its fence", { timeout }, async () => {
    const path = paths.find(({ name }) => name === "retry")!
    const { wrong } = await enumerate(path, mistakes.noFenceCheck[0].storage, 1)
    assert.isNotEmpty(wrong)
  })

  it("find a slot that fires again", { timeout }, async () => {
    const path = paths.find(({ name }) => name === "fire")!
    const { wrong } = await enumerate(path, mistakes.noUniqueSlot[0].storage, 1)
    assert.isNotEmpty(wrong)
  })
})

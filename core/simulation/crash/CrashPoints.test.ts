/**
 * Every point of every path is hit by every fault, one at a time: a process dies at each call of its
 * storage or transport, the call fails, or nobody knows what became of it. Whatever was hit, nothing
 * is lost, nothing is done twice without a reason that is written down, and everything ends: no later
 * than it should, by the way that is there for it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type MistakeName, mistakes } from "./mistakes/mod.ts"
import { type Path, paths } from "./paths.ts"
import { faults } from "./Points.ts"
import { type Plant, walk, wrongOf } from "./World.ts"

/** Long enough for a slow machine. */
const timeout = 300_000

/** What was wrong in all cases of the path, at most so many. */
const enumerate = async (
  path: Path,
  plant: Plant,
  most: number,
  isPoint = path.isPoint ?? (() => true),
) => {
  const untouched = await Effect.runPromise(walk(path, undefined, plant))
  const { operations } = untouched
  // While nothing is hit all is well, also with a mistake.
  assert.deepStrictEqual(wrongOf(path, untouched, untouched), [])
  const wrong: Array<string> = []
  for (const [point, operation] of operations.entries()) {
    if (!isPoint(operation)) continue
    for (const fault of faults) {
      const walked = await Effect.runPromise(walk(path, { point, fault }, plant))
      assert.strictEqual(walked.hit?.operation, operation)
      const name = `${path.name}, point ${point}, ${operation} ${fault}`
      wrong.push(...wrongOf(path, walked, untouched).map((what) => `${name}: ${what}`))
      if (wrong.length >= most) return { operations, wrong }
    }
  }
  return { operations, wrong }
}

describe("crash points", () => {
  for (const path of paths) {
    it(`of ${path.name}`, { timeout }, async () => {
      const { operations, wrong } = await enumerate(path, {}, 20)
      assert.deepStrictEqual(wrong, [])
      // A path that has lost its points is not looked at any more.
      assert.isAtLeast(operations.length, path.points)
      assert.includeMembers([...new Set(operations)], [...path.calls])
    })
  }

  for (const name of Object.keys(mistakes) as ReadonlyArray<MistakeName>) {
    it(`find the mistake ${name}`, { timeout }, async () => {
      const { calls, path: of, plant } = mistakes[name]
      const path = paths.find(({ name }) => name === of)!
      const { wrong } = await enumerate(path, plant, 1, (operation) => calls.test(operation))
      assert.isNotEmpty(wrong)
    })
  }
})

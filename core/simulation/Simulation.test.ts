/** A few seeds with every test run, and proof that the checkers see what they are there to see. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mistakes } from "./mistakes/mod.ts"
import { type MistakeName, simulate } from "./Simulation.ts"

/** Long enough for a slow machine; a seed takes about a seventh of a second on an idle one. */
const timeout = 120_000

describe("simulation", () => {
  for (let from = 0; from < 60; from += 10) {
    it(`seeds ${from} to ${from + 9} violate nothing`, { timeout }, async () => {
      for (let seed = from; seed < from + 10; seed++) {
        const { violations } = await Effect.runPromise(simulate(seed))
        assert.deepStrictEqual(violations, [], `npm run simulate -- --seeds 1 --from ${seed}`)
      }
    })
  }

  it("the same seed has the same history, and another has another", { timeout }, async () => {
    const [first, again, other] = [
      await Effect.runPromise(simulate(7)),
      await Effect.runPromise(simulate(7)),
      await Effect.runPromise(simulate(8)),
    ]
    assert.strictEqual(first.hash, again.hash)
    assert.notStrictEqual(first.hash, other.hash)
  })

  for (const mistake of Object.keys(mistakes) as ReadonlyArray<MistakeName>) {
    it(`finds the planted mistake ${mistake} within 500 seeds`, { timeout }, async () => {
      for (let seed = 0; seed < 500; seed++) {
        const { violations } = await Effect.runPromise(simulate(seed, mistake))
        if (violations.length > 0) return
      }
      assert.fail("it was not found")
    })
  }
})

/** A few seeds with every test run, and proof that the checkers see what they are there to see. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Name, names } from "./invariants/mod.ts"
import { mistakes } from "./mistakes/mod.ts"
import { type MistakeName, simulate } from "./Simulation.ts"

/** Long enough for a slow machine; a seed takes about half a second on an idle one. */
const timeout = 240_000
/** A mistake must be found by one of so many. */
const searched = 500

describe("simulation", () => {
  const counts = new Map<string, number>()
  for (let from = 0; from < 60; from += 10) {
    it(`seeds ${from} to ${from + 9} violate nothing`, { timeout }, async () => {
      for (let seed = from; seed < from + 10; seed++) {
        const verdict = await Effect.runPromise(simulate(seed))
        assert.deepStrictEqual(
          verdict.violations,
          [],
          `npm run simulate -- --seeds 1 --from ${seed}`,
        )
        for (const name of names) {
          counts.set(name, (counts.get(name) ?? 0) + verdict.counts[name])
        }
      }
    })
  }

  it("these seeds put every invariant to the test", () =>
    assert.deepStrictEqual(names.filter((name) => counts.get(name) === 0), []))

  for (const seed of [7, 9]) {
    it(
      `seed ${seed} has the same history again, and another has another`,
      { timeout },
      async () => {
        const [first, again, other] = [
          await Effect.runPromise(simulate(seed)),
          await Effect.runPromise(simulate(seed)),
          await Effect.runPromise(simulate(seed + 1)),
        ]
        assert.strictEqual(first.technology, seed === 9 ? "sqlite" : "memory")
        assert.strictEqual(first.hash, again.hash)
        assert.notStrictEqual(first.hash, other.hash)
      },
    )
  }

  for (const mistake of Object.keys(mistakes) as ReadonlyArray<MistakeName>) {
    it(
      `finds the planted mistake ${mistake} within 500 seeds`,
      { timeout: searched * 2000 },
      async () => {
        const [, by, from = 0]: readonly [unknown, Name, number?] = mistakes[mistake]
        for (let at = 0; at < searched; at++) {
          const seed = (from + at) % searched
          const { violations } = await Effect.runPromise(simulate(seed, mistake))
          if (violations.some(({ invariant }) => invariant === by)) return
        }
        assert.fail(`${by} has not found it`)
      },
    )
  }
})

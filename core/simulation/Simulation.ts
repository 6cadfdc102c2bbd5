/**
 * One seed, from plan to verdict.
 *
 * The same seed gives the same history, to the last entry of the ledger; its hash says so.
 */
import { createHash } from "node:crypto"
import { Effect, Layer, Logger, Random } from "effect"
import { TestClock } from "effect/testing"
import { check, type Violation } from "./Invariants.ts"
import { mistakes } from "./mistakes/mod.ts"
import * as Plan from "./Plan.ts"
import * as World from "./World.ts"

export interface Verdict {
  readonly seed: number
  readonly hash: string
  readonly entries: number
  readonly faults: number
  readonly runs: number
  readonly violations: ReadonlyArray<Violation>
}

export type MistakeName = keyof typeof mistakes

export const simulate = (seed: number, mistake?: MistakeName): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    yield* TestClock.setTime(Plan.startsAt)
    const plan = yield* Plan.draw
    const plant: World.Mistake = mistake === undefined ? (storage) => storage : mistakes[mistake]
    const outcome = yield* World.run(plan, plant)
    const { entries } = outcome.ledger
    return {
      seed,
      hash: createHash("sha256").update(JSON.stringify(entries)).digest("hex").slice(0, 16),
      entries: entries.length,
      faults: plan.faults.length,
      runs: outcome.state.runs.size,
      violations: check(outcome),
    }
  }).pipe(
    Effect.scoped,
    Random.withSeed(`belfry ${seed}`),
    Effect.provide(Layer.merge(TestClock.layer({ warningDelay: "1 hour" }), Logger.layer([]))),
  )

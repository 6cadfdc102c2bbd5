/**
 * One seed, from plan to verdict.
 *
 * The same seed gives the same history, to the last entry of the ledger; its hash says so.
 */
import { createHash } from "node:crypto"
import { Effect, Layer, Logger, Random } from "effect"
import { TestClock } from "effect/testing"
import { check, type Checked } from "./invariants/mod.ts"
import { mistakes } from "./mistakes/mod.ts"
import * as Plan from "./Plan.ts"
import { startsAt } from "./times.ts"
import * as World from "./World.ts"

export interface Verdict extends Checked {
  readonly seed: number
  readonly technology: World.Technology
  readonly hash: string
  readonly entries: number
  readonly faults: number
  readonly runs: number
}

export type MistakeName = keyof typeof mistakes

/**
 * One seed in ten has its storage in SQLite. Half of all are restless, and half of those and of the others
 * have a storage that is told of fires ahead. Mistakes are planted in memory.
 */
const settingOf = (seed: number, isPlanted: boolean): World.Setting => ({
  technology: seed % 10 === 9 && !isPlanted ? "sqlite" : "memory",
  isRestless: seed % 4 >= 2,
  isToldAhead: seed % 8 >= 4,
})

export const simulate = (seed: number, mistake?: MistakeName): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    yield* TestClock.setTime(startsAt)
    const plan = yield* Plan.draw
    const plant: World.Plant = mistake === undefined ? {} : mistakes[mistake][0]
    const setting = settingOf(seed, mistake !== undefined)
    const outcome = yield* World.run(plan, setting, plant)
    const { entries } = outcome.ledger
    return {
      seed,
      technology: setting.technology,
      hash: createHash("sha256").update(JSON.stringify(entries)).digest("hex").slice(0, 16),
      entries: entries.length,
      faults: plan.faults.length,
      runs: outcome.kept.runs.size,
      ...check(outcome),
    }
  }).pipe(
    Effect.scoped,
    Random.withSeed(`belfry ${seed}`),
    Effect.provide(Layer.merge(TestClock.layer({ warningDelay: "1 hour" }), Logger.layer([]))),
  )

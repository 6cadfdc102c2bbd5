/** Somebody orders one run to be cancelled, put down, resumed, ended or tried again. */
import { Effect, Option } from "effect"
import { levels } from "../../../domain/Lane.ts"
import type { StateName } from "../../../domain/Run.ts"
import type { Notice, Ordered } from "../../../services/RunStorage.ts"
import { failure } from "../../world.ts"
import type { Side } from "../Side.ts"
import { asSet, type Command } from "../World.ts"

const order = (
  name: string,
  states: ReadonlyArray<StateName>,
  give: (
    side: Side,
    run: ReturnType<Side["run"]>,
  ) => Effect.Effect<Option.Option<Ordered<string>>, unknown>,
): Command =>
(world, draws) => {
  const run = world.someRun(draws, ...states)
  if (run === undefined) return undefined
  return {
    says: `${name} ${run}`,
    on: (side) =>
      Effect.map(
        give(side, side.run(run)),
        Option.map(({ answer, freed }) => ({
          answer,
          freed: asSet(side.named(freed) as Array<string>),
        })),
      ),
  }
}

export const cancel = order(
  "cancel",
  ["Scheduled", "Blocked", "Ready", "Running", "Awaiting", "Suspended"],
  ({ storage }, run) => storage.runs.cancel(run),
)

export const suspend = order(
  "suspend",
  ["Scheduled", "Blocked", "Ready", "Running"],
  ({ storage }, run) => storage.runs.suspend(run),
)

export const resume = order(
  "resume",
  ["Suspended"],
  ({ storage }, run) => storage.runs.resume(run),
)

export const setLevel: Command = (world, draws) => {
  const level = draws.oneOf(levels)
  const by = draws.chance(0.5) ? "Ada" : undefined
  return order(
    `set level ${level} of`,
    ["Scheduled", "Blocked", "Ready", "Suspended"],
    ({ storage }, run) => storage.runs.setLevel(run, { level, by }),
  )(world, draws)
}

const notices: ReadonlyArray<Notice> = [
  { _tag: "Succeeded" },
  { _tag: "Succeeded", result: "7" },
  { _tag: "Failed", failure },
]

export const notify: Command = (world, draws) => {
  const notice = draws.oneOf(notices)
  return order(
    `notify that ${notice._tag} of`,
    ["Awaiting", "Running"],
    ({ storage }, run) => storage.runs.notify(run, notice),
  )(world, draws)
}

export const revive = order(
  "revive",
  ["Failed", "TimedOut", "Quarantined"],
  ({ storage }, run) => storage.runs.revive(run),
)

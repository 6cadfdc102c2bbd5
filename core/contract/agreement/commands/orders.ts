/** Somebody orders one run to be cancelled, put down, resumed, ended or tried again. */
import { Effect, Option } from "effect"
import type { Change } from "../../../domain/Change.ts"
import { levels } from "../../../domain/Lane.ts"
import type { StateName } from "../../../domain/Run.ts"
import type { Notice, Ordered } from "../../../services/RunStorage.ts"
import { failure } from "../../world.ts"
import type { Side } from "../Side.ts"
import { why } from "../views.ts"
import { asSet, type Command } from "../World.ts"

const order = (
  name: string,
  states: ReadonlyArray<StateName>,
  give: (
    side: Side,
    run: ReturnType<Side["run"]>,
  ) => Effect.Effect<Option.Option<Ordered<string>>, unknown>,
  chosen?: (run: string) => void,
): Command =>
(world, draws) => {
  const run = world.someRun(draws, ...states)
  if (run === undefined) return undefined
  chosen?.(run)
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

/** It is asked at once where the run stands then, since it may never come to its turn. */
export const change: Command = (world, draws) => {
  const what: Change = {
    ...(draws.chance(0.7) && { level: draws.oneOf(levels) }),
    ...(draws.chance(0.5) &&
      { deadlineMillis: draws.oneOf([null, 500, 20_000, 600_000, 30_000_000]) }),
    ...(draws.chance(0.3) && { revision: draws.oneOf([1, 2, 3]) }),
    by: draws.chance(0.5) ? "Ada" : undefined,
  }
  let named: string | undefined
  const call = order(
    `change ${JSON.stringify(what)} of`,
    ["Scheduled", "Blocked", "Ready", "Running", "Suspended"],
    ({ storage }, run) => storage.runs.change(run, what),
    (run) => {
      named = run
      const { deadlineMillis } = what
      if (typeof deadlineMillis !== "number") return
      const before = world.deadlines.get(run) ?? Infinity
      world.deadlines.set(run, Math.min(before, world.now + deadlineMillis))
    },
  )(world, draws)
  return call && {
    ...call,
    on: (side) => Effect.all({ changed: call.on(side), why: why(side, named!) }),
  }
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

export const rollback: Command = (world, draws) => {
  const demand = draws.oneOf([{}, { by: "Ada" }, { by: "Bob", note: "größe" }, {
    note: "it was wrong",
  }])
  return order(
    `roll back, as ${JSON.stringify(demand)},`,
    ["Succeeded", "Failed", "TimedOut", "Cancelled", "Quarantined"],
    ({ storage }, run) => storage.runs.rollback(run, demand),
  )(world, draws)
}

export const revive = order(
  "revive",
  ["Failed", "TimedOut", "Quarantined"],
  ({ storage }, run) => storage.runs.revive(run),
)

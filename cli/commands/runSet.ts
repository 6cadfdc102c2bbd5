/** `belfry run set`: has a run that waits go sooner, or later. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { wordOf } from "../../core/domain/Lane.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, level, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runSet = Command.make("set", {
  ...client,
  id: runId,
  level: level.pipe(Flag.withDescription("0 to 4, or by its word: urgent, usual, low, bulk, idle")),
  by: Flag.String("by").pipe(
    Flag.withDescription("Who asks for it, as is told with the run"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ open }, { orderedJson }]) {
      const { call } = yield* open(given)
      const { level } = given
      const ordered = yield* call((api) =>
        api.runs.setLevel({
          params: { id: given.id as RunId },
          payload: { level, ...(Option.isSome(given.by) && { by: given.by.value }) },
        })
      )
      if (given.json) Output.printJson(orderedJson(ordered))
      else Output.print(`run ${given.id} takes its turn by level ${level} (${wordOf[level]})`)
    }),
  )).pipe(
    Command.withDescription("Have a run that waits go sooner or later, by another level"),
    Command.withExamples([{ command: "belfry run set 123456789 --level urgent --by ada" }]),
  )

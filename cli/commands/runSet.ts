/** `belfry run set`: has a run that waits go sooner or later, or begin by another instant. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { wordOf } from "../../core/domain/Lane.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { by, client, durationMillis, level, ofBy, once, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

const none = "none"

export const runSet = Command.make("set", {
  ...client,
  id: runId,
  level: level.pipe(
    Flag.withDescription("0 to 4, or by its word: urgent, usual, low, bulk, idle"),
    Flag.optional,
  ),
  deadline: Flag.String("deadline").pipe(
    Flag.withMetavar("duration"),
    Flag.filterMap(
      (text) => text === none ? Option.some(null) : Option.fromUndefinedOr(durationMillis(text)),
      (text) => `"${text}" is neither a duration, such as 90s or 10m, nor ${none}`,
    ),
    Flag.withDescription("It expires unless it has begun so long after now; none: it does not"),
    Flag.optional,
  ),
  revision: Flag.Int("revision").pipe(
    Flag.withDescription("Only if the run is at this revision; one that was never changed is at 1"),
    Flag.optional,
  ),
  by,
  once,
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ open }, { orderedJson }]) {
      const { call } = yield* open(given)
      const { deadline, level, revision } = given
      const ordered = yield* call((api) =>
        api.runs.change({
          params: { id: given.id as RunId },
          payload: {
            ...(Option.isSome(level) && { level: level.value }),
            ...(Option.isSome(deadline) && { deadlineMillis: deadline.value }),
            ...(Option.isSome(revision) && { revision: revision.value }),
            ...ofBy(given.by),
          },
        })
      )
      if (given.json) return Output.printJson(orderedJson(ordered))
      if (Option.isSome(level)) {
        const word = wordOf[level.value]
        Output.print(`run ${given.id} takes its turn by level ${level.value} (${word})`)
      }
      if (Option.isSome(deadline)) {
        Output.print(
          deadline.value === null
            ? `run ${given.id} may begin whenever its turn comes`
            : `run ${given.id} expires unless it has begun within ${Output.millis(deadline.value)}`,
        )
      }
    }),
  )).pipe(
    Command.withDescription(
      "Give a run another level, or another deadline while nobody has begun it",
    ),
    Command.withExamples([
      { command: "belfry run set 123456789 --level urgent --by ada" },
      { command: "belfry run set 123456789 --deadline 10m --revision 2" },
    ]),
  )

/** `belfry run cancel`: stops a run. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { by, client, ofBy, once, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"

export const runCancel = Command.make(
  "cancel",
  { ...client, by, once, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { cancelledJson }]) {
        const { call } = yield* open(given)
        const cancelled = yield* call((api) =>
          api.runs.cancel({ params: { id: given.id as RunId }, query: ofBy(given.by) })
        )
        if (given.json) Output.printJson(cancelledJson(cancelled))
        else if (cancelled.answer !== "ended") Output.print(words[cancelled.answer])
        if (cancelled.answer === "ended") {
          return yield* new Problem({
            kind: "notFound",
            what: `run ${given.id} had ended before`,
            hint: `belfry run show ${given.id}`,
          })
        }
      }),
    ),
).pipe(
  Command.withDescription("Stop a run, or keep it from starting"),
  Command.withExamples([
    { command: "belfry run cancel 123456789" },
    { command: "belfry run cancel 123456789 --by Ada" },
  ]),
)

const words = {
  confirmed: "cancelled",
  requested: "requested: its executor was asked to stop it",
}

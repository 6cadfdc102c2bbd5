/** `belfry run rollback`: has undone what a run did. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { by, client, note, ofBy, ofNote, once, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runRollback = Command.make(
  "rollback",
  { ...client, by, note, once, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { orderedJson }]) {
        const { call } = yield* open(given)
        const ordered = yield* call((api) =>
          api.runs.rollback({
            params: { id: given.id as RunId },
            query: { ...ofBy(given.by), ...ofNote(given.note) },
          })
        )
        if (given.json) Output.printJson(orderedJson(ordered))
        else Output.print("it will be rolled back")
      }),
    ),
).pipe(
  Command.withDescription("Undo what a run did that has ended, by the rollback of its task"),
  Command.withExamples([
    { command: "belfry run rollback 123456789" },
    { command: `belfry run rollback 123456789 --by Ada --note "charged twice"` },
  ]),
)

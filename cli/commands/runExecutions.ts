/** `belfry run executions`: each grant of a run, its times and how it ended. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, jsonl, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runExecutions = Command.make(
  "executions",
  { ...client, jsonl, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { executionsJson }]) {
        const { call } = yield* open(given)
        const answer = yield* call((api) =>
          api.runs.executions({ params: { id: given.id as RunId } })
        )
        const document = executionsJson(answer) as { readonly items: ReadonlyArray<unknown> }
        if (given.json) return Output.printJson(document)
        if (given.jsonl) return document.items.forEach(Output.printJsonLine)
        Output.print(Output.table(
          ["execution", "attempt", "started", "ended", "how", "executor", "detail"],
          answer.items.map(({ attempt, detail, end, endedAt, executor, id, startedAt }) => [
            id,
            String(attempt),
            DateTime.formatIso(startedAt),
            endedAt === undefined ? "" : DateTime.formatIso(endedAt),
            end ?? "",
            executor === undefined ? "" : `${executor.name} (${executor.incarnation})`,
            Output.plain(detail ?? "", 80),
          ]),
        ))
      }),
    ),
).pipe(
  Command.withDescription("List the executions of a run: one for each time it was granted"),
  Command.withExamples([{ command: "belfry run executions 123456789" }]),
)

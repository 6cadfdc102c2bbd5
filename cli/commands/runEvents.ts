/** `belfry run events`: what happened to a run. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, jsonl, runId, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runEvents = Command.make(
  "events",
  { ...client, ...vocabulary, jsonl, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inVocabulary, open }, { eventsJson }]) {
        const { call } = yield* open(given)
        const events = yield* call((api) =>
          api.runs.events({
            params: { id: given.id as RunId },
            query: inVocabulary(given.vocabulary),
          })
        )
        const document = eventsJson(events) as { readonly items: ReadonlyArray<unknown> }
        if (given.json) return Output.printJson(document)
        if (given.jsonl) return document.items.forEach(Output.printJsonLine)
        Output.print(Output.table(
          ["at", "what", "attempt", "fence", "executor", "by", "detail"],
          events.items.map(({ at, attempt, by, detail, executor, fence, kind }) => [
            DateTime.formatIso(at),
            kind,
            String(attempt),
            String(fence),
            executor === undefined ? "" : `${executor.name} (${executor.incarnation})`,
            Output.plain(by ?? "", 40),
            Output.plain(detail ?? ""),
          ]),
        ))
      }),
    ),
).pipe(
  Command.withDescription("List what happened to a run, the earliest first"),
  Command.withExamples([{ command: "belfry run events 123456789" }]),
)

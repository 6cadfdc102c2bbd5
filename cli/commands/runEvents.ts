/** `belfry run events`: what happened to a run, and happens. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { isFinal } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { RunHappening } from "../../core/domain/RunView.ts"
import { untold } from "../../core/domain/untold.ts"
import { client, follow, jsonl, runId, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runEvents = Command.make(
  "events",
  { ...client, ...vocabulary, jsonl, follow, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inVocabulary, open }, { eventsJson }]) {
        const { call } = yield* open(given)
        const params = { id: given.id as RunId }
        const told = new Set<string>()
        const all: Array<RunHappening> = []
        for (;;) {
          // Asked before the events: of what has ended all are there.
          const hasEnded = !given.follow ||
            isFinal((yield* call((api) => api.runs.get({ params, query: {} }))).state)
          const { items } = yield* call((api) =>
            api.runs.events({ params, query: inVocabulary(given.vocabulary) })
          )
          const news = untold(told, items)
          all.push(...news)
          const document = eventsJson({ items: news }) as { readonly items: ReadonlyArray<unknown> }
          if (given.jsonl) document.items.forEach(Output.printJsonLine)
          else if (!given.json && given.follow) news.forEach((each) => Output.print(written(each)))
          if (hasEnded) break
          yield* Effect.sleep("500 millis")
        }
        if (given.jsonl) return
        if (given.json) return Output.printJson(eventsJson({ items: all }))
        if (given.follow) return
        Output.print(
          Output.table(
            ["at", "what", "attempt", "fence", "executor", "by", "detail"],
            all.map(cells),
          ),
        )
      }),
    ),
).pipe(
  Command.withDescription("List what happened to a run, the earliest first"),
  Command.withExamples([
    { command: "belfry run events 123456789" },
    { command: "belfry run events 123456789 --follow", description: "Until the run has ended" },
  ]),
)

const cells = ({ at, attempt, by, detail, executor, fence, kind }: RunHappening) => [
  DateTime.formatIso(at),
  kind,
  String(attempt),
  String(fence),
  executor === undefined ? "" : `${executor.name} (${executor.incarnation})`,
  Output.plain(by ?? "", 40),
  Output.plain(detail ?? ""),
]

/** Nobody knows yet how wide the columns of a table would be. */
const written = (happening: RunHappening): string =>
  cells(happening).filter((cell) => cell !== "").join("  ")

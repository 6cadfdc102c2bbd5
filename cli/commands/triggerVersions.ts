/** `belfry trigger versions`: what a trigger was, and from when on. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { list, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { scheduleWords } from "../schedule.ts"

export const triggerVersions = Command.make(
  "versions",
  { ...list, name: triggerName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
        const { call } = yield* open(given)
        const versions = yield* call((api) =>
          api.triggers.versions({
            params: { name: given.name },
            query: { ...inNamespace(given.namespace), limit: 100 },
          })
        )
        if (given.json) return Output.printJson(views.triggerVersionsJson(versions))
        if (given.jsonl) {
          return versions.items.forEach((each) =>
            Output.printJsonLine(views.triggerVersionJson(each))
          )
        }
        Output.print(Output.table(
          ["revision", "slots since", "task", "schedule", "payload"],
          versions.items.map(({ definition, revision, since }) => [
            String(revision),
            DateTime.formatIso(since),
            definition?.task ?? "removed",
            definition === undefined ? "" : scheduleWords(definition.schedule),
            definition === undefined ? "" : Output.plain(JSON.stringify(definition.payload), 60),
          ]),
        ))
      }),
    ),
).pipe(
  Command.withDescription("Show what a trigger was, the latest version first"),
  Command.withExamples([{ command: "belfry trigger versions nightly" }]),
)

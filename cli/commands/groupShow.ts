/** `belfry group show`: the tasks of a group, whether it is paused, and how many runs it has. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { GroupView } from "../../core/domain/Group.ts"
import { client, groupName, namespace, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const groupShow = Command.make(
  "show",
  { ...client, ...vocabulary, namespace, name: groupName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, inVocabulary, open }, { countedGroupJson }]) {
        const { call } = yield* open(given)
        const group = yield* call((api) =>
          api.groups.get({
            params: { name: given.name },
            query: { ...inNamespace(given.namespace), ...inVocabulary(given.vocabulary) },
          })
        )
        if (given.json) return Output.printJson(countedGroupJson(group))
        Output.print(Output.table(["", ""], [
          ...facts(group),
          ...Object.entries(group.runs)
            .filter(([, count]) => count > 0)
            .map(([state, count]) => [state, String(count)]),
        ]))
      }),
    ),
).pipe(
  Command.withDescription("Show the tasks of a group, whether it is paused, and its runs by state"),
  Command.withExamples([{ command: "belfry group show billing" }]),
)

export const facts = (
  { by, isPaused, limit, note, since, tasks }: GroupView,
): ReadonlyArray<ReadonlyArray<string>> => [
  [
    "state",
    (isPaused ? "paused" : "open") +
    (since === undefined ? "" : ` since ${DateTime.formatIso(since)}`) +
    (by === undefined ? "" : ` by ${Output.plain(by)}`) +
    (note === undefined ? "" : `: ${Output.plain(note)}`),
  ],
  ["limit", limit === undefined ? "none" : String(limit)],
  [
    "tasks",
    tasks.map((task) =>
      // Executors of several versions may differ for a while.
      task.limit === limit ? task.name : `${task.name} (limit ${task.limit ?? "none"})`
    ).join(", "),
  ],
]

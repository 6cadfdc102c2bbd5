/** `belfry group pause` and `resume`: let no run of a group start, or let them go on. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { by, client, groupName, namespace, note, ofBy, ofNote, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

const ordering = (word: "pause" | "resume", description: string) =>
  Command.make(
    word,
    { ...client, namespace, by, note, once, name: groupName },
    (given) =>
      lazily(
        () =>
          Promise.all([
            import("../Connection.ts"),
            import("../views.ts"),
            import("./groupShow.ts"),
          ]),
        Effect.fnUntraced(function* ([{ inNamespace, open }, { groupJson }, { facts }]) {
          const { call } = yield* open(given)
          const group = yield* call((api) =>
            api.groups[word]({
              params: { name: given.name },
              payload: {
                ...inNamespace(given.namespace),
                ...ofBy(given.by),
                ...ofNote(given.note),
              },
            })
          )
          if (given.json) return Output.printJson(groupJson(group))
          Output.print(Output.table(["", ""], facts(group)))
        }),
      ),
  ).pipe(
    Command.withDescription(description),
    Command.withExamples([
      { command: `belfry group ${word} billing --by Ada --note "the books are being closed"` },
    ]),
  )

export const groupPause = ordering(
  "pause",
  "Let no run of a group start until it is resumed; what has started goes on",
)
export const groupResume = ordering("resume", "Let the runs of a group start again")

/** `belfry group list`: which groups of tasks there are, and whether they are paused. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const groupList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { groupJson, groupListJson }]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) => api.groups.list({ query: inNamespace(given.namespace) }))
      if (given.json) return Output.printJson(groupListJson(answer))
      if (given.jsonl) return answer.items.forEach((each) => Output.printJsonLine(groupJson(each)))
      Output.print(Output.table(
        ["group", "limit", "tasks", "state", "since", "by", "note"],
        answer.items.map(({ by, isPaused, limit, name, note, since, tasks }) => [
          Output.plain(name, 60),
          limit === undefined ? "" : String(limit),
          String(tasks.length),
          isPaused ? "paused" : "open",
          since === undefined ? "" : DateTime.formatIso(since),
          Output.plain(by ?? "", 30),
          Output.plain(note ?? "", 60),
        ]),
      ))
      if (answer.items.length === 0) {
        Output.talk(
          'no groups: a task names its own, as in policy: { group: Group.make("billing") }',
        )
      }
    }),
  )).pipe(
    Command.withDescription("List groups of tasks, their limits, and which are paused"),
    Command.withExamples([{ command: "belfry group list --json" }]),
  )

/** `belfry task show`: one task, and how its payload looks. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { client, namespace } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { policyInWords } from "./taskList.ts"

export const taskShow = Command.make(
  "show",
  { ...client, namespace, name: Argument.String("name") },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { taskJson }]) {
        const { call } = yield* open(given)
        const task = yield* call((api) =>
          api.tasks.get({ params: { name: given.name }, query: inNamespace(given.namespace) })
        )
        if (given.json) return Output.printJson(taskJson(task))
        const { owner, payloads = [], policy, purpose, revision, state } = task
        Output.print(Output.table(["", ""], [
          ["state", state],
          ["policy", policyInWords(policy)],
          ["revision", String(revision)],
          ...(owner === undefined ? [] : [["owner", Output.plain(owner)]]),
          ...(purpose === undefined ? [] : [["purpose", Output.plain(purpose)]]),
          ...(payloads.length > 1 ? [["payload", `version ${payloads.length}`]] : []),
        ]))
        const present = payloads.at(-1)
        if (present === undefined || present === null) {
          return Output.talk("nothing is said of its payload")
        }
        Output.printJson(present)
      }),
    ),
).pipe(
  Command.withDescription("Show a task, and how its payload looks, as JSON Schema"),
  Command.withExamples([{ command: "belfry task show hello/world" }]),
)

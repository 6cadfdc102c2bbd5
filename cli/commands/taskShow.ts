/** `belfry task show`: one task, and how its payload looks. */
import { DateTime, Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { client, namespace } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { policyFacts } from "../policyWords.ts"

export const taskShow = Command.make(
  "show",
  {
    ...client,
    namespace,
    name: Argument.String("name").pipe(Argument.withDescription("Name of the task")),
  },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { taskJson }]) {
        const { call } = yield* open(given)
        const task = yield* call((api) =>
          api.tasks.get({ params: { name: given.name }, query: inNamespace(given.namespace) })
        )
        if (given.json) return Output.printJson(taskJson(task))
        const { hooks, last, owner, payloads = [], policy, purpose, revision, state } = task
        Output.print(Output.facts([
          ["task", task.name],
          ["state", state === "served" ? "served" : "unserved: no live executor carries it out"],
          ["revision", String(revision)],
          ["owner", owner && Output.plain(owner)],
          ["purpose", purpose && Output.plain(purpose)],
          [
            "last run",
            last &&
            `${Output.state(last.state)} at ${DateTime.formatIso(last.finishedAt)}, took ${
              Output.millis(last.durationMillis)
            }`,
          ],
          ...policyFacts(policy),
          ["hooks", hooks && (hooks.join(", ") || "none")],
          ["payload", payloads.length > 1 ? `version ${payloads.length}` : undefined],
        ]))
        const present = payloads.at(-1)
        if (present === undefined || present === null) {
          return Output.talk("nothing is said of its payload")
        }
        Output.printJson(present)
      }),
    ),
).pipe(
  Command.withDescription(
    "Show a task, its policy in words, and how its payload looks, as JSON Schema",
  ),
  Command.withExamples([{ command: "belfry task show hello/world" }]),
)

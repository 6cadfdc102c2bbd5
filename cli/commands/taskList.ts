/** `belfry task list`: the tasks that executors have brought. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type { Policy } from "../../core/domain/Task.ts"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const taskList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) => api.tasks.list({ query: inNamespace(given.namespace) }))
      if (given.json) return Output.printJson(views.taskListJson(answer))
      if (given.jsonl) {
        return answer.items.forEach((each) => Output.printJsonLine(views.taskJson(each)))
      }
      Output.print(Output.table(
        ["task", "policy", "revision", "owner", "purpose"],
        answer.items.map(({ name, owner, policy, purpose, revision }) => [
          name,
          words(policy),
          String(revision),
          Output.plain(owner ?? ""),
          Output.plain(purpose ?? "", 60),
        ]),
      ))
      if (answer.items.length === 0) {
        Output.talk("no tasks: an executor brings them, as in belfry dev your-tasks.ts")
      }
    }),
  )).pipe(
    Command.withDescription("List tasks and their policies"),
    Command.withExamples([{ command: "belfry task list --json" }]),
  )

const words = ({ blocking, delivery, retry, timeoutMillis }: Policy): string =>
  [
    ...(retry.attempts > 1 ? [`${retry.attempts} attempts`] : []),
    ...(timeoutMillis === undefined ? [] : [`timeout ${Output.millis(timeoutMillis)}`]),
    ...(blocking === undefined ? [] : [blocking._tag.toLowerCase()]),
    ...(delivery === "at-most-once" ? [delivery] : []),
  ].join(", ")

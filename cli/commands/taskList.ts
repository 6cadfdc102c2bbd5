/** `belfry task list`: the tasks that executors have brought. */
import { DateTime, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { policyInWords } from "../policyWords.ts"
import { asHere } from "../started.ts"

export const taskList = Command.make("list", {
  ...list,
  owner: Flag.String("owner").pipe(
    Flag.withDescription("Only tasks of this owner"),
    Flag.optional,
  ),
  state: Flag.Literals("state", ["served", "unserved"]).pipe(
    Flag.withDescription("Only tasks that a live executor carries out, or that none does"),
    Flag.optional,
  ),
  sort: Flag.Literals("sort", ["name", "last", "duration", "outcome"]).pipe(
    Flag.withDescription("By name, or first what ran last, took longest or went wrong"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.tasks.list({
          query: {
            ...inNamespace(given.namespace),
            ...(Option.isSome(given.owner) && { owner: given.owner.value }),
            ...(Option.isSome(given.state) && { state: given.state.value }),
            ...(Option.isSome(given.sort) && { sort: given.sort.value }),
          },
        })
      )
      if (given.json) return Output.printJson(views.taskListJson(answer))
      if (given.jsonl) {
        return answer.items.forEach((each) => Output.printJsonLine(views.taskJson(each)))
      }
      Output.print(Output.table(
        ["task", "state", "last run", "took", "outcome", "policy", "revision", "owner", "purpose"],
        answer.items.map(({ last, name, owner, policy, purpose, revision, state }) => [
          name,
          state,
          last === undefined ? "" : DateTime.formatIso(last.finishedAt),
          last === undefined ? "" : Output.millis(last.durationMillis),
          last === undefined ? "" : Output.state(last.state),
          policyInWords(policy),
          String(revision),
          Output.plain(owner ?? ""),
          Output.plain(purpose ?? "", 60),
        ]),
      ))
      if (answer.total > 0) {
        Output.talk(answer.total === 1 ? "1 task" : `${answer.total} tasks`)
      } else {
        Output.talk(
          `no tasks: an executor brings them, as in ${asHere("belfry dev your-tasks.ts")}`,
        )
      }
    }),
  )).pipe(
    Command.withDescription("List tasks: whose they are, who serves them, how each went last"),
    Command.withExamples([
      { command: "belfry task list --owner billing --sort outcome" },
      { command: "belfry task list --jsonl > tasks.jsonl", description: "Export them" },
    ]),
  )

/** `belfry trigger list`: the triggers, and when they fire next. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { nextWords, scheduleWords } from "../schedule.ts"

export const triggerList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.triggers.list({ query: inNamespace(given.namespace) })
      )
      if (given.json) return Output.printJson(views.triggerListJson(answer))
      if (given.jsonl) {
        return answer.items.forEach((each) => Output.printJsonLine(views.triggerJson(each)))
      }
      const now = Date.now()
      Output.print(Output.table(
        ["trigger", "task", "schedule", "next", ""],
        answer.items.map(({ isPaused, name, nextSlot, schedule, tail, task }) => [
          name,
          task,
          scheduleWords(schedule),
          nextWords({ isPaused, nextSlot, schedule }),
          tail?.failure !== undefined
            ? "stuck"
            : isPaused || nextSlot === null
            ? ""
            : Output.fromNow(nextSlot.epochMilliseconds, now),
        ]),
      ))
    }),
  )).pipe(
    Command.withDescription("List triggers and when they fire next"),
    Command.withExamples([{ command: "belfry trigger list --json" }]),
  )

/** `belfry calendar list`: the calendars there are. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { asHere } from "../started.ts"

export const calendarList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.calendars.list({ query: inNamespace(given.namespace) })
      )
      if (given.json) return Output.printJson(views.calendarListJson(answer))
      if (given.jsonl) {
        return answer.items.forEach((each) => Output.printJsonLine(views.listedCalendarJson(each)))
      }
      Output.print(Output.table(
        ["calendar", "revision"],
        answer.items.map(({ name, revision }) => [name, String(revision)]),
      ))
      if (answer.items.length === 0) {
        Output.talk(`no calendars: ${asHere("belfry calendar put office office.json")} keeps one`)
      }
    }),
  )).pipe(
    Command.withDescription("List calendars"),
    Command.withExamples([{ command: "belfry calendar list --json" }]),
  )

/** `belfry calendar show`: which days a calendar says are free, and which are not. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { calendarName, client, namespace } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const calendarShow = Command.make(
  "show",
  { ...client, namespace, name: calendarName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { calendarJson }]) {
        const { call } = yield* open(given)
        const kept = yield* call((api) =>
          api.calendars.get({
            params: { name: given.name },
            query: inNamespace(given.namespace),
          })
        )
        if (given.json) return Output.printJson(calendarJson(kept))
        Output.print(Output.table(
          ["date", ""],
          [
            ...kept.rest.map((day) => ["weekly", `${day} is a rest day`]),
            ...[
              ...kept.holidays.map((date) => [date, "holiday"]),
              ...kept.workdays.map((date) => [date, "make-up workday"]),
            ].sort(([a], [b]) => a! < b! ? -1 : 1),
          ],
        ))
      }),
    ),
).pipe(
  Command.withDescription("Show the days of a calendar"),
  Command.withExamples([
    {
      command: "belfry calendar show office --json",
      description: "In a shape that `belfry calendar put` takes",
    },
  ]),
)

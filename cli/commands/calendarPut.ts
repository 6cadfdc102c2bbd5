/** `belfry calendar put`: keeps a calendar, from a file. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { calendarName, client, namespace, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const calendarPut = Command.make("put", {
  ...client,
  namespace,
  once,
  name: calendarName,
  file: Argument.String("file").pipe(
    Argument.withDescription("JSON with lists of dates: rest, holidays, workdays"),
  ),
}, (given) =>
  lazily(
    () =>
      Promise.all([
        import("../Connection.ts"),
        import("../calendarFile.ts"),
        import("../views.ts"),
      ]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { read }, { calendarJson }]) {
      const days = yield* read(given.file)
      const { call } = yield* open(given)
      const kept = yield* call((api) =>
        api.calendars.put({
          params: { name: given.name },
          payload: { ...inNamespace(given.namespace), ...days },
        })
      )
      if (given.json) return Output.printJson(calendarJson(kept))
      Output.print(
        `calendar ${kept.name}, revision ${kept.revision}: ${kept.holidays.length} holidays, ` +
          `${kept.workdays.length} make-up workdays`,
      )
    }),
  )).pipe(
    Command.withDescription("Keep a calendar; the triggers that name it follow it from now on"),
    Command.withExamples([{ command: "belfry calendar put office office.json" }]),
  )

/** `belfry calendar remove`: takes a calendar away that no trigger names. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { calendarName, client, namespace, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const calendarRemove = Command.make(
  "remove",
  { ...client, namespace, once, name: calendarName },
  (given) =>
    lazily(
      () => import("../Connection.ts"),
      Effect.fnUntraced(function* ({ inNamespace, open }) {
        const { call } = yield* open(given)
        yield* call((api) =>
          api.calendars.remove({
            params: { name: given.name },
            query: inNamespace(given.namespace),
          })
        )
        if (given.json) return Output.printJson({ name: given.name })
        Output.print(`calendar ${given.name} is removed`)
      }),
    ),
).pipe(
  Command.withDescription("Remove a calendar that no trigger names"),
  Command.withExamples([{ command: "belfry calendar remove office" }]),
)

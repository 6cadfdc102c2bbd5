/** `belfry trigger pause`: let no slot of a trigger fire until it is resumed. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { client, namespace, once, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const triggerPause = Command.make(
  "pause",
  { ...client, namespace, once, name: triggerName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { triggerJson }]) {
        const { call } = yield* open(given)
        const kept = yield* call((api) =>
          api.triggers.pause({
            params: { name: given.name },
            query: inNamespace(given.namespace),
          })
        )
        if (given.json) return Output.printJson(triggerJson(kept))
        Output.print("paused: what is due meanwhile is skipped")
      }),
    ),
).pipe(
  Command.withDescription("Let no slot of a trigger fire until it is resumed"),
  Command.withExamples([{ command: "belfry trigger pause nightly" }]),
)

/** `belfry trigger resume`: let a paused trigger go on with its next slot. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { client, namespace, once, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const triggerResume = Command.make(
  "resume",
  { ...client, namespace, once, name: triggerName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { triggerJson }]) {
        const { call } = yield* open(given)
        const kept = yield* call((api) =>
          api.triggers.resume({
            params: { name: given.name },
            query: inNamespace(given.namespace),
          })
        )
        if (given.json) return Output.printJson(triggerJson(kept))
        Output.print(
          kept.nextSlot === null ? "goes on" : `goes on at ${DateTime.formatIso(kept.nextSlot)}`,
        )
      }),
    ),
).pipe(
  Command.withDescription("Let a paused trigger go on with its next slot"),
  Command.withExamples([{ command: "belfry trigger resume nightly" }]),
)

/** `belfry trigger remove`: takes a trigger away; the records of its slots stay. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { client, namespace, once, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const triggerRemove = Command.make(
  "remove",
  { ...client, namespace, once, name: triggerName },
  (given) =>
    lazily(
      () => import("../Connection.ts"),
      Effect.fnUntraced(function* ({ inNamespace, open }) {
        const { call } = yield* open(given)
        yield* call((api) =>
          api.triggers.remove({
            params: { name: given.name },
            query: inNamespace(given.namespace),
          })
        )
        if (given.json) return Output.printJson({ name: given.name })
        Output.print(`trigger ${given.name} is removed`)
      }),
    ),
).pipe(
  Command.withDescription("Take a trigger away; runs that it made are left alone"),
  Command.withExamples([{ command: "belfry trigger remove nightly" }]),
)

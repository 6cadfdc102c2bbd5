/** `belfry group cancel`: asks all runs of a group that have not ended to stop. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { by, client, groupName, namespace, ofBy } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const groupCancel = Command.make(
  "cancel",
  { ...client, namespace, by, name: groupName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { groupCancelledJson }]) {
        const { call } = yield* open(given)
        const some = (before: RunId | undefined) =>
          call((api) =>
            api.groups.cancel({
              params: { name: given.name },
              payload: {
                ...inNamespace(given.namespace),
                ...ofBy(given.by),
                ...(before !== undefined && { before }),
              },
            })
          )
        let { confirmed, next, requested } = yield* some(undefined)
        while (next !== undefined) {
          const step: Effect.Success<ReturnType<typeof some>> = yield* some(next)
          confirmed += step.confirmed
          requested += step.requested
          next = step.next
        }
        if (given.json) return Output.printJson(groupCancelledJson({ confirmed, requested }))
        Output.print(
          `${confirmed} cancelled` +
            (requested === 0 ? "" : `, ${requested} requested: their executors were asked to stop`),
        )
      }),
    ),
).pipe(
  Command.withDescription(
    "Stop all runs of a group that are there now; pause it first to stop more",
  ),
  Command.withExamples([{ command: "belfry group cancel billing --by Ada" }]),
)

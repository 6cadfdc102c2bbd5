/** `belfry group cancel`: asks all runs of a group that have not ended to stop. */
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import { createHash } from "node:crypto"
import type { RunId } from "../../core/domain/RunId.ts"
import { by, client, groupName, namespace, ofBy, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const groupCancel = Command.make(
  "cancel",
  { ...client, namespace, by, once, name: groupName },
  (given) =>
    lazily(
      () =>
        Promise.all([
          import("../../cluster/api/ApiClient.ts"),
          import("../Connection.ts"),
          import("../views.ts"),
        ]),
      Effect.fnUntraced(function* ([ApiClient, { inNamespace, open }, { groupCancelledJson }]) {
        const { call } = yield* open(given)
        const some = (before: RunId | undefined) =>
          call((api) => {
            const cancel = api.groups.cancel({
              params: { name: given.name },
              payload: {
                ...inNamespace(given.namespace),
                ...ofBy(given.by),
                ...(before !== undefined && { before }),
              },
            })
            return before === undefined || Option.isNone(given.once)
              ? cancel
              : ApiClient.once(further(given.once.value, before))(cancel)
          })
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

/** Each step is an order of its own, and has a key that follows from that of the first. */
const further = (key: string, before: RunId): string =>
  createHash("sha256").update(`group cancel before ${before}: ${key}`).digest("base64url")

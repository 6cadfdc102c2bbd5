/** `belfry trigger fire`: a run now, whatever the schedule says. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { client, idempotencyKey, namespace, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { parsedJson } from "../parsedJson.ts"
import { asHere } from "../started.ts"

export const triggerFire = Command.make("fire", {
  ...client,
  namespace,
  name: triggerName,
  payload: Argument.String("payload").pipe(
    Argument.withDescription("JSON, instead of the payload of the trigger"),
    Argument.optional,
  ),
  key: idempotencyKey.pipe(
    Flag.withDescription("Of the request: a second one with it answers with the first run"),
    Flag.optional,
  ),
  by: Flag.String("by").pipe(
    Flag.withDescription("Who asks, as is shown with the slot"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => import("../Connection.ts"),
    Effect.fnUntraced(function* ({ inNamespace, open }) {
      const payload = yield* parsedJson("payload", given.payload, `belfry trigger fire x '{"a":1}'`)
      const { call } = yield* open(given)
      const fired = yield* call((api) =>
        api.triggers.fire({
          params: { name: given.name },
          headers: Option.isSome(given.key) ? { "idempotency-key": given.key.value } : {},
          payload: {
            ...inNamespace(given.namespace),
            ...(payload !== undefined && { payload }),
            ...(Option.isSome(given.by) && { by: given.by.value }),
          },
        })
      )
      if (given.json) return Output.printJson({ ...fired, run: String(fired.run) })
      Output.print(String(fired.run))
      Output.talk(
        `run ${fired.run}${fired.isNew ? "" : ", asked for before"}; ` +
          asHere(`belfry run show ${fired.run}`),
      )
    }),
  )).pipe(
    Command.withDescription("Make a run of a trigger now, whatever its schedule says"),
    Command.withExamples([
      { command: "belfry trigger fire nightly --by Ada" },
      { command: `belfry trigger fire nightly '{"book":"gl"}' --key close-of-march` },
    ]),
  )

/** `belfry run again`: a new run of the same task, with the same payload or another. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, idempotencyKey, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { parsedJson } from "../parsedJson.ts"
import { untilEnded } from "./runSubmit.ts"

export const runAgain = Command.make("again", {
  ...client,
  id: runId,
  payload: Argument.String("payload").pipe(
    Argument.withDescription("JSON, instead of the payload that it had"),
    Argument.optional,
  ),
  by: Flag.String("by").pipe(
    Flag.withDescription("Who asks for it, as is told with the run"),
    Flag.optional,
  ),
  key: idempotencyKey.pipe(
    Flag.withDescription("Idempotency key: a second request with it answers with the first run"),
    Flag.optional,
  ),
  wait: Flag.Boolean("wait").pipe(
    Flag.withDescription("Wait for the end; exit code 7 unless the run succeeds"),
    Flag.withDefault(false),
  ),
}, (given) =>
  lazily(
    () => import("../Connection.ts"),
    Effect.fnUntraced(function* ({ open }) {
      const payload = yield* parsedJson("payload", given.payload, `belfry run again 17 '{"a":1}'`)
      const connection = yield* open(given)
      const submitted = yield* connection.call((api) =>
        api.runs.again({
          params: { id: given.id as RunId },
          headers: Option.isSome(given.key) ? { "idempotency-key": given.key.value } : {},
          payload: {
            ...(payload !== undefined && { payload }),
            ...(Option.isSome(given.by) && { by: given.by.value }),
          },
        })
      )
      if (given.wait) return yield* untilEnded(connection, submitted.run, given.json)
      if (given.json) return Output.printJson({ ...submitted, run: String(submitted.run) })
      Output.print(String(submitted.run))
      Output.talk(
        `run ${submitted.run} does run ${given.id} again; belfry run show ${submitted.run}`,
      )
    }),
  )).pipe(
    Command.withDescription("Submit a run once more, as it was or with another payload"),
    Command.withExamples([
      { command: "belfry run again 123456789 --by Ada" },
      { command: `belfry run again 123456789 '{"name":"you"}' --wait` },
    ]),
  )

/** `belfry run notify`: ends a run that was handed over. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { RunId } from "../../core/domain/RunId.ts"
import { by, client, ofBy, once, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { parsedJson } from "../parsedJson.ts"

export const runNotify = Command.make("notify", {
  ...client,
  by,
  once,
  id: runId,
  result: Argument.String("result").pipe(
    Argument.withDescription("JSON that the run succeeded with, none unless given"),
    Argument.optional,
  ),
  failed: Flag.String("failed").pipe(
    Flag.withDescription("It failed, for this reason"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ open }, { orderedJson }]) {
      const result = yield* parsedJson("result", given.result, "belfry run notify 123456789 '42'")
      const { call } = yield* open(given)
      const notified = yield* call((api) =>
        api.runs.notify({
          params: { id: given.id as RunId },
          payload: {
            ...(Option.isSome(given.failed)
              ? { failure: { tag: "Notified", message: given.failed.value } }
              : result === undefined
              ? {}
              : { result }),
            ...ofBy(given.by),
          },
        })
      )
      if (given.json) Output.printJson(orderedJson(notified))
      else Output.print(words[notified.answer] ?? notified.answer)
    }),
  )).pipe(
    Command.withDescription("End a run that was handed over to something outside"),
    Command.withExamples([
      { command: `belfry run notify 123456789 '{"paid":true}'` },
      { command: "belfry run notify 123456789 --failed 'the bank said no'" },
    ]),
  )

const words: Readonly<Record<string, string>> = {
  applied: "it has ended by this notice",
  duplicate: "somebody had notified before",
}

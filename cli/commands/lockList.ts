/** `belfry lock list`: who holds which lock. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { connection, json, jsonl } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

const prefix = Flag.String("prefix").pipe(
  Flag.withDescription("Only locks whose names start so"),
  Flag.optional,
)

export const lockList = Command.make(
  "list",
  { ...connection, prefix, json, jsonl },
  (given) =>
    lazily(
      () =>
        Promise.all([
          import("../Connection.ts"),
          import("../views.ts"),
          import("../../cluster/api/Api.ts"),
        ]),
      Effect.fnUntraced(function* ([{ open }, { lockListJson }, { listMax }]) {
        const { call } = yield* open(given)
        const query = {
          limit: listMax,
          ...(Option.isSome(given.prefix) && { prefix: given.prefix.value }),
        }
        const answer = yield* call((api) => api.locks.list({ query }))
        const document = lockListJson(answer) as { readonly items: ReadonlyArray<unknown> }
        if (given.json) return Output.printJson(document)
        if (given.jsonl) return document.items.forEach(Output.printJsonLine)
        Output.print(Output.table(
          ["lock", "holder", "fence", "ends"],
          answer.items.map(({ endsInMillis, fence, holder, key }) => [
            Output.plain(key, 60),
            Output.plain(holder, 40),
            String(fence),
            Output.fromNow(endsInMillis, 0),
          ]),
        ))
        if (answer.items.length === 0) {
          Output.talk("no locks are held: programs take them, with `Lock` or `belfry.locks`")
        }
        Output.talk(`in ${answer.technology}, fences are ${answer.fences}`)
      }),
    ),
).pipe(
  Command.withDescription("List the locks that are held, and who holds them"),
  Command.withExamples([{ command: "belfry lock list --prefix ownership/" }]),
)

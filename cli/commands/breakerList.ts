/** `belfry breaker list`: how the circuit breakers stand. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const breakerList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { breakerListJson }]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.breakers.list({ query: inNamespace(given.namespace) })
      )
      const document = breakerListJson(answer) as { readonly items: ReadonlyArray<unknown> }
      if (given.json) return Output.printJson(document)
      if (given.jsonl) return document.items.forEach(Output.printJsonLine)
      Output.print(Output.table(
        ["breaker", "state", "calls", "bad", "since", "cause"],
        answer.items.map(({ bad, calls, cause, name, order, since, state }) => [
          Output.plain(name, 60),
          order === undefined ? state : `held ${order.to}`,
          String(calls),
          String(bad),
          DateTime.formatIso(order?.at ?? since),
          Output.plain(order?.note ?? cause ?? "", 60),
        ]),
      ))
    }),
  )).pipe(
    Command.withDescription("List circuit breakers, and how they stand"),
    Command.withExamples([{ command: "belfry breaker list --json" }]),
  )

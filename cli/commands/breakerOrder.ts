/** `belfry breaker open`, `close` and `auto`: orders by hand. */
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import {
  breakerKey,
  breakerName,
  by,
  client,
  namespace,
  note,
  ofBy,
  ofNote,
  once,
} from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

const ordering = (word: string, to: "open" | "closed" | "auto", description: string) =>
  Command.make(
    word,
    { ...client, namespace, by, note, once, of: breakerKey, name: breakerName },
    (given) =>
      lazily(
        () =>
          Promise.all([
            import("../Connection.ts"),
            import("../views.ts"),
            import("./breakerShow.ts"),
          ]),
        Effect.fnUntraced(function* ([{ inNamespace, open }, { breakerJson }, { facts }]) {
          const { call } = yield* open(given)
          const breaker = yield* call((api) =>
            api.breakers.order({
              params: { name: given.name },
              payload: {
                ...inNamespace(given.namespace),
                to,
                ...ofBy(given.by),
                ...ofNote(given.note),
                ...(Option.isSome(given.of) && { key: given.of.value }),
              },
            })
          )
          if (given.json) return Output.printJson(breakerJson(breaker))
          Output.print(Output.table(["", ""], facts(breaker)))
        }),
      ),
  ).pipe(
    Command.withDescription(description),
    Command.withExamples([
      {
        command: `belfry breaker ${word} sms-gateway --by Ada --note "the gateway is being moved"`,
      },
      { command: `belfry breaker ${word} sms-gateway --of tenant-7` },
    ]),
  )

export const breakerOpen = ordering(
  "open",
  "open",
  "Let no run through, until the order is taken back",
)
export const breakerClose = ordering(
  "close",
  "closed",
  "Let every run through, whatever becomes of them",
)
export const breakerAuto = ordering(
  "auto",
  "auto",
  "Take an order back: it goes by its calls again",
)

/** `belfry breaker show`: how a circuit breaker stands, and what it is set to. */
import { DateTime, Effect, Option } from "effect"
import { Command } from "effect/cli"
import type { BreakerView } from "../../core/domain/Breaker.ts"
import { breakerKey, breakerName, client, namespace } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const breakerShow = Command.make(
  "show",
  { ...client, namespace, of: breakerKey, name: breakerName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { breakerJson }]) {
        const { call } = yield* open(given)
        const breaker = yield* call((api) =>
          api.breakers.get({
            params: { name: given.name },
            query: {
              ...inNamespace(given.namespace),
              ...(Option.isSome(given.of) && { key: given.of.value }),
            },
          })
        )
        if (given.json) return Output.printJson(breakerJson(breaker))
        Output.print(Output.table(["", ""], facts(breaker)))
      }),
    ),
).pipe(
  Command.withDescription("Show how a circuit breaker stands, and its settings"),
  Command.withExamples([
    { command: "belfry breaker show sms-gateway" },
    { command: "belfry breaker show sms-gateway --of tenant-7" },
  ]),
)

export const facts = (
  { bad, calls, cause, order, settings, since, state, until }: BreakerView,
): ReadonlyArray<ReadonlyArray<string>> => [
  ["state", `${state}, since ${DateTime.formatIso(since)}`],
  ...(cause === undefined ? [] : [["cause", Output.plain(cause)]]),
  ...(until === undefined ? [] : [["tries again", DateTime.formatIso(until)]]),
  ...(order === undefined ? [] : [[
    `held ${order.to}`,
    `since ${DateTime.formatIso(order.at)}${
      order.by === undefined ? "" : ` by ${Output.plain(order.by)}`
    }${order.note === undefined ? "" : `: ${Output.plain(order.note)}`}`,
  ]]),
  ["calls", `${calls}, of which bad ${bad}`],
  ...Object.entries(settings).map(([name, value]) => [name, String(value)]),
]

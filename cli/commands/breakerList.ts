/** `belfry breaker list` and `keys`: how the circuit breakers stand. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { BreakerView } from "../../core/domain/Breaker.ts"
import { breakerName, list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { asHere } from "../started.ts"

export const breakerList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { breakerListJson }]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.breakers.list({ query: inNamespace(given.namespace) })
      )
      print(given, breakerListJson(answer), answer.items, "breaker")
    }),
  )).pipe(
    Command.withDescription("List circuit breakers, and how they stand"),
    Command.withExamples([{ command: "belfry breaker list --json" }]),
  )

export const breakerKeys = Command.make("keys", { ...list, name: breakerName }, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { breakerListJson }]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.breakers.keys({ params: { name: given.name }, query: inNamespace(given.namespace) })
      )
      print(given, breakerListJson(answer), answer.items, "key")
    }),
  )).pipe(
    Command.withDescription("List the keys of a breaker by key that had bad calls, or an order"),
    Command.withExamples([{ command: "belfry breaker keys sms-gateway" }]),
  )

const print = (
  given: { readonly json: boolean; readonly jsonl: boolean },
  document: unknown,
  items: ReadonlyArray<BreakerView>,
  of: "breaker" | "key",
): void => {
  if (given.json) return Output.printJson(document)
  const lines = (document as { readonly items: ReadonlyArray<unknown> }).items
  if (given.jsonl) return lines.forEach((line) => Output.printJsonLine(line))
  Output.print(Output.table(
    [of, "state", "calls", "bad", "since", "cause"],
    items.map(({ bad, calls, cause, key = "", name, order, since, state }) => [
      Output.plain(of === "key" ? key : name, 60),
      order === undefined ? state : `held ${order.to}`,
      String(calls),
      String(bad),
      DateTime.formatIso(order?.at ?? since),
      Output.plain(order?.note ?? cause ?? "", 60),
    ]),
  ))
  if (items.length > 0) return
  Output.talk(
    of === "key"
      ? "no keys: none of its calls was bad, and none is held open or closed"
      : `no breakers: ${asHere("belfry breaker set NAME")} keeps one, or a task names its own`,
  )
}

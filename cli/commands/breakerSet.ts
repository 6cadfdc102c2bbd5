/** `belfry breaker set`: what a circuit breaker goes by. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { breakerName, client, duration, namespace, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

const flags = {
  failurePercent: Flag.Int("failure-percent").pipe(
    Flag.withDescription("It opens when so many of a hundred calls failed; 50 unless given"),
    Flag.optional,
  ),
  badInARow: Flag.Int("bad-in-a-row").pipe(
    Flag.withDescription("It opens as well when so many in a row did; 20 unless given"),
    Flag.optional,
  ),
  callsMin: Flag.Int("calls-min").pipe(
    Flag.withDescription("Fewer calls than these say nothing; 10 unless given"),
    Flag.optional,
  ),
  slowMillis: duration("slow").pipe(
    Flag.withDescription("A call that takes longer is as bad as one that failed"),
    Flag.optional,
  ),
  windowMillis: duration("window").pipe(
    Flag.withDescription("Of which calls are counted; 30s unless given"),
    Flag.optional,
  ),
  openMillis: duration("open-for").pipe(
    Flag.withDescription("How long it stays open before it tries; 30s unless given"),
    Flag.optional,
  ),
  probes: Flag.Int("probes").pipe(
    Flag.withDescription("So many are let through at first when it tries; 3 unless given"),
    Flag.optional,
  ),
  probeMillis: duration("probe-every").pipe(
    Flag.withDescription("How often so many are; 5s unless given"),
    Flag.optional,
  ),
}

export const breakerSet = Command.make(
  "set",
  { ...client, namespace, once, ...flags, name: breakerName },
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
        const settings: Partial<Record<keyof typeof flags, number>> = {}
        for (const key of Object.keys(flags) as Array<keyof typeof flags>) {
          const value = given[key]
          if (Option.isSome(value)) settings[key] = value.value
        }
        const breaker = yield* call((api) =>
          api.breakers.put({
            params: { name: given.name },
            payload: { ...inNamespace(given.namespace), ...settings },
          })
        )
        if (given.json) return Output.printJson(breakerJson(breaker))
        Output.print(Output.table(["", ""], facts(breaker)))
      }),
    ),
).pipe(
  Command.withDescription("Set what a circuit breaker goes by; it stays in the state it is in"),
  Command.withExamples([
    { command: "belfry breaker set sms-gateway --failure-percent 20 --slow 2s --open-for 1m" },
  ]),
)

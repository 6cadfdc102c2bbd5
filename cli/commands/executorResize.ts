/** `belfry executor resize`: changes the pool of an executor while it runs. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as PoolSizes from "../../core/domain/PoolSizes.ts"
import { client, duration, namespace, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"

const size = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withDescription(description), Flag.optional)

export const executorResize = Command.make("resize", {
  ...client,
  namespace,
  once,
  incarnation: Argument.Int("incarnation").pipe(
    Argument.withDescription("Number of the executor, as `belfry executor list` has it"),
  ),
  core: size("core", "So many runs at once while the queue has room"),
  maximum: size("maximum", "So many runs at once when the queue is full"),
  queue: size("queue", "So many runs wait in the executor"),
  prefetch: duration("prefetch").pipe(
    Flag.withDescription("How far ahead runs are fetched, where no queue is named: 100ms"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { resizedJson }]) {
      const { call } = yield* open(given)
      const incarnation = given.incarnation as Incarnation
      const of = inNamespace(given.namespace)
      const { items } = yield* call((api) => api.executors.list({ query: of }))
      const known = items.find((each) => each.incarnation === incarnation)
      if (known === undefined) {
        return yield* new Problem({
          kind: "notFound",
          what: `there is no executor ${incarnation}`,
          hint: "belfry executor list",
        })
      }
      const now = known.vitals?.sizes ?? PoolSizes.of(known.capacity)
      const queueLength = Option.getOrElse(given.queue, () => now.queueLength)
      const sizes = {
        core: Option.getOrElse(given.core, () => now.core),
        maximum: Option.getOrElse(given.maximum, () => now.maximum),
        ...(queueLength !== undefined && { queueLength }),
        prefetchMillis: Option.getOrElse(given.prefetch, () => now.prefetchMillis),
      }
      const answer = yield* call((api) =>
        api.executors.resize({ params: { incarnation }, payload: { ...of, sizes } })
      )
      if (given.json) return Output.printJson(resizedJson(answer))
      Output.print(
        `executor ${incarnation} (${known.name}) will run ${sizes.core} to ${sizes.maximum} at once, ` +
          "from its next beat on",
      )
    }),
  )).pipe(
    Command.withDescription("Change how many runs an executor carries out at once, while it runs"),
    Command.withExamples([
      { command: "belfry executor resize 12 --core 2 --maximum 4 --queue 3" },
    ]),
  )

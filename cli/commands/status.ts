/** `belfry status`: how it goes. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { client, namespace, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const status = Command.make(
  "status",
  { ...client, ...vocabulary, namespace },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, inVocabulary, open }, { statusJson }]) {
        const { call, url } = yield* open(given)
        const answer = yield* call((api) =>
          api.system.status({
            query: { ...inNamespace(given.namespace), ...inVocabulary(given.vocabulary) },
          })
        )
        if (given.json) return Output.printJson(statusJson(answer))
        const { executors, runs, schedulers } = answer
        Output.print(Output.facts([
          [
            "server",
            `${url}, storage ${answer.storage}, its clock ${DateTime.formatIso(answer.now)}`,
          ],
          [
            "runs",
            Object.entries(runs).filter(([, count]) => count > 0)
              .map(([name, count]) => `${Output.state(name)} ${count}`).join("  ") || "none",
          ],
          [
            "executors",
            `${executors.live} live, holding ${executors.held} of ${executors.capacity}; ` +
            `${executors.draining} draining, ${executors.lost} lost, ${executors.left} left`,
          ],
          ...schedulers.map(({ duties, isHealthy, isSelf, name }) =>
            [
              "scheduler",
              `${name}${isHealthy ? "" : ", not healthy"}${isSelf ? ", this one" : ""}` +
              (duties === undefined ? "" : `, ${duties.length} duties`),
            ] as const
          ),
          ...answer.stalled.map((name) =>
            [
              "not done",
              `${name}: this server does not come round to it, and is not ready`,
            ] as const
          ),
        ]))
      }),
    ),
).pipe(
  Command.withDescription("Show runs, executors and schedulers at a glance"),
  Command.withExamples([{ command: "belfry status --json" }]),
)

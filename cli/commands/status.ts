/** `belfry status`: how it goes. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { client, namespace, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

/** As in `sweep, audit, triggers 0-3 7`: those of triggers are numbered. */
export const dutyWords = (duties: ReadonlyArray<string>): string => {
  const [numbered, named] = [/^triggers\/(\d+)$/, /^[a-z]+$/].map((pattern) =>
    duties.flatMap((duty) => pattern.exec(duty)?.slice(-1) ?? [])
  )
  const ranges: Array<{ from: number; to: number }> = []
  for (const number of numbered!.map(Number).toSorted((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last?.to === number - 1) last.to = number
    else ranges.push({ from: number, to: number })
  }
  const triggers = ranges.map(({ from, to }) => from === to ? `${from}` : `${from}-${to}`)
  const words = [...named!, ...(triggers.length > 0 ? [`triggers ${triggers.join(" ")}`] : [])]
  return words.length === 0 ? "no duty" : words.join(", ")
}

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
              (duties === undefined ? "" : `, ${dutyWords(duties)}`),
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

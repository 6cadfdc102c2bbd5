/** `belfry run logs`: what a run has said, and says. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { LogLine } from "../../core/domain/LogLine.ts"
import { isFinal } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, follow, jsonl, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runLogs = Command.make(
  "logs",
  { ...client, jsonl, follow, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { logJson }]) {
        const { call } = yield* open(given)
        const params = { id: given.id as RunId }
        const pageAfter = (after: string | undefined) =>
          call((api) =>
            api.runs.log({ params, query: { limit: 500, ...(after !== undefined && { after }) } })
          )
        const items: Array<unknown> = []
        let isCut = false
        let after: string | undefined
        for (;;) {
          // Asked before the page: what an ended run has said is all there.
          const hasEnded = !given.follow ||
            isFinal((yield* call((api) => api.runs.get({ params, query: {} }))).state)
          for (;;) {
            const page = yield* pageAfter(after)
            isCut = page.isCut
            if (page.next === null) break
            after = page.next
            const document = logJson(page) as { readonly items: ReadonlyArray<unknown> }
            if (given.json) items.push(...document.items)
            else if (given.jsonl) document.items.forEach(Output.printJsonLine)
            else page.items.forEach((line) => Output.print(written(line)))
          }
          if (hasEnded) break
          yield* Effect.sleep("500 millis")
        }
        if (given.json) Output.printJson({ items, isCut })
        else if (after === undefined && !given.jsonl) Output.talk("the run has said nothing")
        else if (isCut) Output.talk("the run has said more than is kept: what follows was left out")
      }),
    ),
).pipe(
  Command.withDescription("Show what a run has said, also of attempts that are over"),
  Command.withExamples([
    { command: "belfry run logs 123456789 --follow", description: "Until the run has ended" },
  ]),
)

/** One line of a log may be several of text: each stands on its own. */
const written = ({ at, fence, level, text }: LogLine): string => {
  const time = Output.style("dim", DateTime.formatIso(at))
  const colour = level === "Error" || level === "Fatal"
    ? "red"
    : level === "Warn"
    ? "yellow"
    : "dim"
  const who = `${time} ${Output.style("dim", `#${fence}`)} ${
    Output.style(colour, level.toUpperCase().padEnd(5))
  }`
  return text.split("\n").map((part) => `${who} ${Output.plain(part, 16_384)}`).join("\n")
}

/** `belfry trigger preview`: when a schedule is due. It needs no server. */
import { DateTime, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { durationMillis, json, jsonl } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"

export const triggerPreview = Command.make("preview", {
  expression: Argument.String("expression").pipe(
    Argument.withDescription('Cron of five to seven fields, @daily and the like, or "every 90s"'),
  ),
  zone: Flag.String("zone").pipe(
    Flag.withDescription("IANA time zone of the schedule"),
    Flag.withDefault("UTC"),
  ),
  count: Flag.Int("count").pipe(
    Flag.withAlias("n"),
    Flag.withDescription("So many instants, up to 1000"),
    Flag.withDefault(10),
  ),
  from: Flag.Date("from").pipe(
    Flag.withDescription("After this instant; now unless named"),
    Flag.optional,
  ),
  json,
  jsonl,
}, (given) =>
  lazily(
    () => Promise.all([import("../../cluster/api/preview.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ preview }, { previewJson }]) {
      if (given.count < 1 || given.count > 1000) {
        return yield* new Problem({ kind: "usage", what: "--count is from 1 to 1000" })
      }
      const now = Date.now()
      const from = Option.getOrElse(given.from, () => new Date(now))
      const answer = yield* Effect.mapError(
        preview({
          schedule: scheduleOf(given.expression, given.zone),
          count: given.count,
          from: DateTime.fromDateUnsafe(from),
        }),
        ({ reason, remedy }) =>
          new Problem({
            kind: "usage",
            what: reason,
            fix: remedy,
            hint: `belfry trigger preview "30 7 * * MON-FRI" --zone Europe/Berlin`,
          }),
      )
      const document = previewJson(answer) as { readonly fires: ReadonlyArray<unknown> }
      if (given.json) return Output.printJson(document)
      if (given.jsonl) return document.fires.forEach(Output.printJsonLine)
      Output.print(Output.table(
        ["at", given.zone, ""],
        answer.fires.map(({ at, local }) => [
          DateTime.formatIso(at),
          local.replace(/\[.*\]$/, ""),
          Output.fromNow(at.epochMilliseconds, now),
        ]),
      ))
      if (answer.isComplete) Output.talk("no more after these")
    }),
  )).pipe(
    Command.withDescription("Show when a schedule is due, without a server"),
    Command.withExamples([
      {
        command: `belfry trigger preview "0 9 LW * *" --zone Asia/Shanghai -n 5`,
        description: "09:00 on the last weekday of the month",
      },
      { command: `belfry trigger preview "every 90s" --from 2031-01-01T00:00:00Z --json` },
    ]),
  )

const scheduleOf = (expression: string, zone: string) => {
  const everyMillis = /^every\s/i.test(expression)
    ? durationMillis(expression.replace(/^every\s+/i, ""))
    : undefined
  return everyMillis === undefined ? { cron: expression, zone } : { everyMillis }
}

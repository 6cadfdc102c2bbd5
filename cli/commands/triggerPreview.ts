/** `belfry trigger preview`: when a schedule is due, and why. It needs no server. */
import { DateTime, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { Because, TriggerName } from "../../core/domain/Trigger.ts"
import { connection, json, jsonl, namespace, unlessNamed, whole } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"
import { changeOf, expression, flagOf, rules, unscheduled } from "../schedule.ts"

export const triggerPreview = Command.make("preview", {
  expression,
  ...rules,
  calendarFile: Flag.String("calendar-file").pipe(
    Flag.withDescription("JSON file with rest, holidays and workdays, instead of a kept calendar"),
    Flag.optional,
  ),
  name: Flag.String("name").pipe(
    Flag.withDescription("Name of the trigger, which its jitter depends on"),
    Flag.optional,
  ),
  count: whole("count", { from: 1, to: 1000 }).pipe(
    Flag.withAlias("n"),
    unlessNamed(10, "So many instants, up to 1000"),
  ),
  from: Flag.Date("from").pipe(
    Flag.withDescription("After this instant; now unless named"),
    Flag.optional,
  ),
  ...connection,
  namespace,
  json,
  jsonl,
}, (given) =>
  lazily(
    () =>
      Promise.all([
        import("../../cluster/api/changes.ts"),
        import("../../cluster/api/preview.ts"),
        import("../Connection.ts"),
        import("../calendarFile.ts"),
        import("../views.ts"),
      ]),
    Effect.fnUntraced(function* (
      [changes, { preview }, { inNamespace, open }, { read }, { previewJson }],
    ) {
      if (given.count < 1 || given.count > 1000) {
        return yield* new Problem({ kind: "usage", what: "--count is from 1 to 1000" })
      }
      const now = Date.now()
      const change = yield* changeOf(Option.some(given.expression), given)
      const schedule = yield* Effect.fromResult(changes.schedule(undefined, change)).pipe(
        Effect.mapError(({ field, reason, remedy }) =>
          unscheduled(`${flagOf(field) ?? field}: ${reason}`, remedy)
        ),
      )
      const { calendar: kept, calendarFile } = given
      const calendar = Option.isSome(calendarFile)
        ? yield* read(calendarFile.value)
        : Option.isSome(kept)
        ? yield* (yield* open(given)).call((api) =>
          api.calendars.get({
            params: { name: kept.value },
            query: inNamespace(given.namespace),
          })
        )
        : undefined
      const request = {
        schedule,
        count: given.count,
        from: DateTime.fromDateUnsafe(Option.getOrElse(given.from, () => new Date(now))),
        ...inNamespace(given.namespace),
        ...(calendar !== undefined && { calendar }),
        ...(Option.isSome(given.name) && { name: given.name.value as TriggerName }),
      }
      const answer = yield* preview(request, () => Effect.succeedNone).pipe(
        Effect.mapError(({ reason, remedy }) => unscheduled(reason, remedy)),
      )
      const document = previewJson(answer) as { readonly fires: ReadonlyArray<unknown> }
      if (given.json) return Output.printJson(document)
      if (given.jsonl) return document.fires.forEach(Output.printJsonLine)
      Output.print(Output.table(
        ["at", Option.getOrElse(given.zone, () => "UTC"), "", ""],
        answer.fires.flatMap(({ at, because, leftOut, local }) => [
          ...leftOut.map(({ because, date }) => ["-", date, "", `left out: ${because}`]),
          [
            DateTime.formatIso(at),
            local.replace(/\[.*\]$/, ""),
            Output.fromNow(at.epochMilliseconds, now),
            because.map(words).join("; "),
          ],
        ]),
      ))
      if (answer.isComplete) Output.talk("no more after these")
    }),
  )).pipe(
    Command.withDescription("Show when a schedule is due, and why, without a server"),
    Command.withExamples([
      {
        command: `belfry trigger preview "0 9 LW * *" --zone Asia/Shanghai -n 5`,
        description: "09:00 on the last weekday of the month",
      },
      {
        command:
          `belfry trigger preview "0 9 25 * *" --calendar-file office.json --free-day previous`,
        description: "09:00 on the 25th, or on the last workday before it",
      },
      { command: `belfry trigger preview "every 90s" --from 2031-01-01T00:00:00Z --json` },
    ]),
  )

const words = (because: Because): string => {
  switch (because._tag) {
    case "Gap":
      return `${because.wanted.slice(11)} does not exist on that day (gap: ${because.rule})`
    case "Overlap":
      return `the ${because.which} of two`
    case "Moved":
      return `moved from ${because.from.join(", ")}`
    case "Uncovered":
      return `the calendar says nothing of ${because.year}`
    case "Jitter":
      return `due ${Output.millis(because.millis)} later`
  }
}

/** `belfry trigger preview`: when a schedule is due, and why. It needs no server. */
import { DateTime, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Schedule } from "../../cluster/api/Views.ts"
import type { FreeDay } from "../../core/domain/Calendar.ts"
import type { Because, TriggerName } from "../../core/domain/Trigger.ts"
import { connection, duration, durationMillis, json, jsonl, namespace } from "../flags.ts"
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
  gap: Flag.Literals("gap", ["shift", "next", "skip"]).pipe(
    Flag.withDescription("What becomes of a time that is missing when clocks go forward"),
    Flag.optional,
  ),
  overlap: Flag.Literals("overlap", ["first", "second", "both"]).pipe(
    Flag.withDescription("Which instant of a time that comes twice when clocks go back"),
    Flag.optional,
  ),
  calendar: Flag.String("calendar").pipe(
    Flag.withDescription("Name of a calendar that the server keeps"),
    Flag.optional,
  ),
  calendarFile: Flag.String("calendar-file").pipe(
    Flag.withDescription("JSON file with rest, holidays and workdays, instead of a kept calendar"),
    Flag.optional,
  ),
  freeDay: Flag.String("free-day").pipe(
    Flag.withDescription("skip, next, previous, or 2, -1: that many workdays after or before"),
    Flag.optional,
  ),
  start: Flag.Date("start").pipe(Flag.withDescription("No slot before"), Flag.optional),
  end: Flag.Date("end").pipe(Flag.withDescription("No slot from then on"), Flag.optional),
  jitter: duration("jitter").pipe(
    Flag.withDescription("Runs are due up to this much later"),
    Flag.optional,
  ),
  name: Flag.String("name").pipe(
    Flag.withDescription("Name of the trigger, which its jitter depends on"),
    Flag.optional,
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
  ...connection,
  namespace,
  json,
  jsonl,
}, (given) =>
  lazily(
    () =>
      Promise.all([
        import("../../cluster/api/preview.ts"),
        import("../Connection.ts"),
        import("../calendarFile.ts"),
        import("../views.ts"),
      ]),
    Effect.fnUntraced(function* ([{ preview }, { inNamespace, open }, { read }, { previewJson }]) {
      if (given.count < 1 || given.count > 1000) {
        return yield* new Problem({ kind: "usage", what: "--count is from 1 to 1000" })
      }
      const now = Date.now()
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
        schedule: yield* scheduleOf(given),
        count: given.count,
        from: DateTime.fromDateUnsafe(Option.getOrElse(given.from, () => new Date(now))),
        ...inNamespace(given.namespace),
        ...(calendar !== undefined && { calendar }),
        ...(Option.isSome(given.name) && { name: given.name.value as TriggerName }),
      }
      const answer = yield* preview(request, () => Effect.succeedNone).pipe(
        Effect.mapError(({ reason, remedy }) => usage(reason, remedy)),
      )
      const document = previewJson(answer) as { readonly fires: ReadonlyArray<unknown> }
      if (given.json) return Output.printJson(document)
      if (given.jsonl) return document.fires.forEach(Output.printJsonLine)
      Output.print(Output.table(
        ["at", given.zone, "", ""],
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

const usage = (what: string, fix?: string) =>
  new Problem({
    kind: "usage",
    what,
    fix,
    hint: `belfry trigger preview "30 7 * * MON-FRI" --zone Europe/Berlin`,
  })

interface Given {
  readonly expression: string
  readonly zone: string
  readonly gap: Option.Option<"shift" | "next" | "skip">
  readonly overlap: Option.Option<"first" | "second" | "both">
  readonly freeDay: Option.Option<string>
  readonly start: Option.Option<Date>
  readonly end: Option.Option<Date>
  readonly jitter: Option.Option<number>
}

const scheduleOf = (given: Given): Effect.Effect<Schedule, Problem> =>
  Effect.suspend((): Effect.Effect<Schedule, Problem> => {
    const { end, expression, gap, jitter, overlap, start, zone } = given
    const span = {
      ...(Option.isSome(start) && { start: DateTime.fromDateUnsafe(start.value) }),
      ...(Option.isSome(end) && { end: DateTime.fromDateUnsafe(end.value) }),
      ...(Option.isSome(jitter) && { jitterMillis: jitter.value }),
    }
    const everyMillis = /^every\s/i.test(expression)
      ? durationMillis(expression.replace(/^every\s+/i, ""))
      : undefined
    if (everyMillis !== undefined) return Effect.succeed({ everyMillis, ...span })
    const freeDay = Option.map(given.freeDay, freeDayOf)
    if (Option.isSome(freeDay) && freeDay.value === undefined) {
      return Effect.fail(usage("--free-day is skip, next, previous, or a number of workdays"))
    }
    return Effect.succeed({
      cron: expression,
      zone,
      ...span,
      ...(Option.isSome(gap) && { gap: gap.value }),
      ...(Option.isSome(overlap) && { overlap: overlap.value }),
      ...(Option.isSome(freeDay) && { freeDay: freeDay.value! }),
    })
  })

const freeDayOf = (text: string): FreeDay | undefined => {
  if (text === "skip" || text === "next" || text === "previous") return text
  const move = /^[+-]?\d+$/.test(text) ? Number(text) : 0
  return move !== 0 && Math.abs(move) <= 30 ? { move } : undefined
}

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

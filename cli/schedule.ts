/** A schedule as it is written on the command line. */
import { DateTime, Effect, Option } from "effect"
import { Argument, type Command, Flag } from "effect/cli"
import type { ChangeSchedule, Schedule, Trigger } from "../cluster/api/Views.ts"
import type { CalendarName, FreeDay } from "../core/domain/Calendar.ts"
import { words as clauseWords } from "../core/domain/Condition.ts"
import { duration, durationMillis } from "./flags.ts"
import * as Output from "./Output.ts"
import { Problem } from "./Problem.ts"

export const expression = Argument.String("expression").pipe(
  Argument.withDescription(
    'Cron of five to seven fields, @daily and the like, "every 90s", "at 2031-01-01T00:00:00Z"',
  ),
)

/** What is said of a schedule besides when it is due; what is not named is as usual, or stays. */
export const rules = {
  zone: Flag.String("zone").pipe(
    Flag.withDescription("IANA time zone of the schedule, UTC unless named"),
    Flag.optional,
  ),
  gap: Flag.Literals("gap", ["shift", "next", "skip"]).pipe(
    Flag.withDescription("What becomes of a time that is missing when clocks go forward"),
    Flag.optional,
  ),
  overlap: Flag.Literals("overlap", ["first", "second", "both"]).pipe(
    Flag.withDescription("Which instant of a time that comes twice when clocks go back"),
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
  calendar: Flag.String("calendar").pipe(
    Flag.withDescription("Name of a calendar that the server keeps"),
    Flag.optional,
  ),
}

export const unscheduled = (what: string, fix?: string) =>
  new Problem({
    kind: "usage",
    what,
    fix,
    hint: `belfry trigger preview "30 7 * * MON-FRI" --zone Europe/Berlin`,
  })

export type GivenRules = Command.Command.Config.Infer<typeof rules>

/** When it is due: one of a cron expression, an interval, an instant, and always. */
const expressed = (expression: string): Effect.Effect<ChangeSchedule, Problem> => {
  if (/^permanent$/i.test(expression)) return Effect.succeed({ permanent: {} })
  const [, at] = /^at\s+(.+)$/i.exec(expression) ?? []
  if (at !== undefined) {
    const instant = DateTime.make(at)
    return Option.isNone(instant)
      ? Effect.fail(unscheduled(`"${at}" is no instant`, "write it as 2031-01-01T00:00:00Z"))
      : Effect.succeed({ at: DateTime.toUtc(instant.value) })
  }
  const everyMillis = /^every\s/i.test(expression)
    ? durationMillis(expression.replace(/^every\s+/i, ""))
    : undefined
  return Effect.succeed(everyMillis === undefined ? { cron: expression } : { everyMillis })
}

/** What is named of a schedule. */
export const changeOf = Effect.fnUntraced(function* (
  expression: Option.Option<string>,
  given: GivenRules,
) {
  const { calendar, end, gap, jitter, overlap, start, zone } = given
  const freeDay = Option.map(given.freeDay, freeDayOf)
  if (Option.isSome(freeDay) && freeDay.value === undefined) {
    return yield* unscheduled("--free-day is skip, next, previous, or a number of workdays")
  }
  const change: ChangeSchedule = {
    ...(Option.isSome(expression) && (yield* expressed(expression.value))),
    ...(Option.isSome(zone) && { zone: zone.value }),
    ...(Option.isSome(gap) && { gap: gap.value }),
    ...(Option.isSome(overlap) && { overlap: overlap.value }),
    ...(Option.isSome(calendar) && { calendar: calendar.value as CalendarName }),
    ...(Option.isSome(freeDay) && { freeDay: freeDay.value! }),
    ...(Option.isSome(start) && { start: DateTime.fromDateUnsafe(start.value) }),
    ...(Option.isSome(end) && { end: DateTime.fromDateUnsafe(end.value) }),
    ...(Option.isSome(jitter) && { jitterMillis: jitter.value }),
  }
  return change
})

/** The flag by which a field of a trigger is named on the command line. */
const flags: Readonly<Record<string, string>> = {
  "schedule.cron": "expression",
  "schedule.freeDay": "--free-day",
  "schedule.jitterMillis": "--jitter",
  "schedule.from": "--begin",
  "misfire.max": "--misfire-max",
  "misfire.maxAgeMillis": "--misfire-age",
  "graceMillis": "--grace",
  "whileRunning": "--while-running",
}
const bare =
  /^(?:schedule\.)?(?:tail\.)?(task|payload|zone|gap|overlap|calendar|start|end|on|when|passing|unreadable|id|transaction)$/

/** As whoever wrote the command knows the field. */
export const flagOf = (field: string): string | undefined => {
  const [, name] = bare.exec(field) ?? []
  return flags[field] ?? (name && `--${name}`)
}

const freeDayOf = (text: string): FreeDay | undefined => {
  if (text === "skip" || text === "next" || text === "previous") return text
  const move = /^[+-]?\d+$/.test(text) ? Number(text) : 0
  return move !== 0 && Math.abs(move) <= 30 ? { move } : undefined
}

/** The other way round: what a schedule says, on one line. */
export const scheduleWords = (schedule: Schedule): string => {
  if ("cron" in schedule) {
    const { calendar, cron, zone = "UTC" } = schedule
    return [cron, zone, calendar].filter((each) => each !== undefined).join("  ")
  }
  if ("everyMillis" in schedule) return `every ${Output.millis(schedule.everyMillis)}`
  if ("permanent" in schedule) return "permanent"
  if ("after" in schedule) {
    const { after, on, when = [] } = schedule
    const ends = typeof on === "string" ? on : on.join(", ")
    return [`after ${after}`, ends, ...when.map(clauseWords)].join("  ")
  }
  if ("tail" in schedule) {
    const { tail, when = [] } = schedule
    const source = typeof tail === "string" ? `tail ${tail}` : `tail table ${tail.table}`
    return [source, ...when.map(clauseWords)].join("  ")
  }
  return `at ${DateTime.formatIso(schedule.at)}`
}

const gapWords = { shift: "moved by as much", next: "at the next that there is", skip: "left out" }
const overlapWords = { first: "at the first", second: "at the second", both: "at both" }

/** What its schedule says besides when it is due. */
export const ruleFacts = (
  schedule: Schedule,
): ReadonlyArray<readonly [name: string, value: string | undefined]> => {
  const { freeDay, gap, jitterMillis, overlap, start, end } = schedule as {
    readonly [K in keyof ChangeSchedule]?: Exclude<ChangeSchedule[K], null>
  }
  return [
    ["missing times", gap && gapWords[gap]],
    ["double times", overlap && overlapWords[overlap]],
    [
      "free days",
      freeDay && (typeof freeDay === "string" ? freeDay : Output.plain(JSON.stringify(freeDay))),
    ],
    ["start", start && `no slot before ${DateTime.formatIso(start)}`],
    ["end", end && `no slot from ${DateTime.formatIso(end)} on`],
    ["jitter", jitterMillis ? `due up to ${Output.millis(jitterMillis)} later` : undefined],
  ]
}

/** What becomes of slots that nobody fired in time. */
export const misfireWords = (misfire: Trigger["misfire"]): string => {
  switch (misfire._tag) {
    case "Skip":
      return "skip: none that was missed fires"
    case "Once":
      return "once: the latest that was missed fires"
    case "All": {
      const { max, maxAgeMillis } = misfire
      const age = maxAgeMillis === undefined
        ? ""
        : ` if not older than ${Output.millis(maxAgeMillis)}`
      return `all: the latest ${max} that were missed fire${age}`
    }
  }
}

/** How far one has come that tails a source, line by line. */
export const tailFacts = (
  { tail }: Pick<Trigger, "tail">,
  now: number,
): ReadonlyArray<readonly [name: string, value: string | undefined]> => {
  if (tail === undefined) return []
  const { failingSince, failure, fired, passed, position, skipped, upTo } = tail
  return [
    ["position", position ?? "before the first reading"],
    ["entries", `${fired} fired, ${passed} passed over, ${skipped} skipped`],
    [
      "lags",
      upTo === undefined
        ? "behind, and never was at the end"
        : Output.millis(Math.max(0, now - upTo.epochMilliseconds)),
    ],
    ["stuck", failure],
    ["since", failingSince && DateTime.formatIso(failingSince)],
  ]
}

/** When it fires next. */
export const nextWords = (
  { isPaused, nextSlot, schedule }: Pick<Trigger, "isPaused" | "nextSlot" | "schedule">,
): string => {
  if (isPaused) return "paused"
  if (nextSlot !== null) return DateTime.formatIso(nextSlot)
  return "after" in schedule || "tail" in schedule ? "by event" : "none"
}

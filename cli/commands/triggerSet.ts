/** `belfry trigger set`: keeps a trigger, or changes what is named of a kept one. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Misfire, TriggerName } from "../../core/domain/Trigger.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import { byEvent, byEventOf } from "../byEvent.ts"
import { client, duration, namespace, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { parsedJson } from "../parsedJson.ts"
import { Problem } from "../Problem.ts"
import { expression, schedule, scheduleOf, scheduleWords } from "../schedule.ts"

const hint = `belfry trigger set nightly "0 3 * * *" --task report --zone Europe/Berlin`

const misfire = {
  misfire: Flag.Literals("misfire", ["skip", "once", "all"]).pipe(
    Flag.withDescription("What becomes of slots that nobody fired in time"),
    Flag.optional,
  ),
  misfireMax: Flag.Int("misfire-max").pipe(
    Flag.withDescription("Of `--misfire all`: so many still fire, 10 unless named"),
    Flag.optional,
  ),
  misfireAge: duration("misfire-age").pipe(
    Flag.withDescription("Of `--misfire all`: unless they are older than this"),
    Flag.optional,
  ),
}

export const triggerSet = Command.make("set", {
  ...client,
  namespace,
  name: triggerName,
  expression: expression.pipe(Argument.optional),
  ...schedule,
  ...byEvent,
  task: Flag.String("task").pipe(
    Flag.withDescription("Name of the task that is due; needed for a new trigger"),
    Flag.optional,
  ),
  payload: Flag.String("payload").pipe(
    Flag.withDescription("JSON that every run gets; {} for a new trigger unless named"),
    Flag.optional,
  ),
  ...misfire,
  grace: duration("grace").pipe(
    Flag.withDescription("A slot later than this has misfired"),
    Flag.optional,
  ),
  whileRunning: Flag.Literals("while-running", ["allow", "skip", "fail"]).pipe(
    Flag.withDescription("What becomes of a slot while a run of this trigger is under way"),
    Flag.optional,
  ),
  revision: Flag.Int("revision").pipe(
    Flag.withDescription("Only if the trigger is at this revision; 0: only if there is none"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { keptTriggerJson }]) {
      const wanted = yield* parsedJson("payload", given.payload, `${hint} --payload '{"a":1}'`)
      const connection = yield* open(given)
      const query = inNamespace(given.namespace)
      const params = { name: given.name }
      const known = yield* connection.call((api) =>
        api.triggers.list({ query }).pipe(
          Effect.map(({ items }) => items.find(({ name }) => name === given.name)),
        )
      )
      const isScheduled = Option.isSome(given.expression)
      const events = yield* byEventOf(given, isScheduled ? undefined : known?.schedule)
      if (isScheduled && events !== undefined) {
        return yield* new Problem({
          kind: "usage",
          what: "a schedule, --after and --table are of several triggers",
          hint,
        })
      }
      const isNew = known === undefined
      if (isNew && ((!isScheduled && events === undefined) || Option.isNone(given.task))) {
        return yield* new Problem({
          kind: "usage",
          what: `there is no trigger "${given.name}", and a new one needs a schedule and a task`,
          hint,
        })
      }
      const when = Option.isSome(given.expression)
        ? yield* scheduleOf({ ...given, expression: given.expression.value })
        : events ?? known!.schedule
      const { blockingKey } = known ?? {}
      const payload = wanted ?? known?.payload
      const graceMillis = Option.getOrElse(given.grace, () => known?.graceMillis)
      const whileRunning = Option.getOrElse(given.whileRunning, () => known?.whileRunning)
      const missed = misfireOf(given) ?? known?.misfire
      const kept = yield* connection.call((api) =>
        api.triggers.put({
          params,
          payload: {
            ...query,
            task: Option.getOrElse(given.task, () => known!.task) as TaskName,
            schedule: when,
            // What was read is what is changed, or nothing is.
            revision: Option.getOrElse(given.revision, () => known?.revision ?? 0),
            ...(payload !== undefined && { payload }),
            ...(missed !== undefined && { misfire: missed }),
            ...(graceMillis !== undefined && { graceMillis }),
            ...(blockingKey !== undefined && { blockingKey }),
            ...(whileRunning !== undefined && { whileRunning }),
          },
        })
      )
      if (given.json) return Output.printJson(keptTriggerJson(kept))
      Output.print(
        `trigger ${kept.name as TriggerName}, revision ${kept.revision}: ` +
          `${kept.task}, ${scheduleWords(kept.schedule)}`,
      )
      const { taskUnknown } = kept
      if (taskUnknown !== undefined) Output.talk(`${taskUnknown.detail} ${taskUnknown.remedy}`)
    }),
  )).pipe(
    Command.withDescription("Keep a trigger, or change what is named of one that is kept"),
    Command.withExamples([
      { command: hint },
      { command: "belfry trigger set nightly --while-running skip" },
      { command: "belfry trigger set poller permanent --task poll", description: "Always alive" },
      { command: 'belfry trigger set ship --after order --when "/total at least 100" --task ship' },
      { command: "belfry trigger set bill --table public.orders --task bill" },
    ]),
  )

const misfireOf = (
  given: Command.Command.Config.Infer<typeof misfire>,
): Misfire | undefined => {
  if (Option.isNone(given.misfire)) return undefined
  switch (given.misfire.value) {
    case "skip":
      return { _tag: "Skip" }
    case "once":
      return { _tag: "Once" }
    case "all":
      return {
        _tag: "All",
        max: Option.getOrElse(given.misfireMax, () => 10),
        ...(Option.isSome(given.misfireAge) && { maxAgeMillis: given.misfireAge.value }),
      }
  }
}

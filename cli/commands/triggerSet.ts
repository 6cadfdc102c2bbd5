/** `belfry trigger set`: keeps a trigger, or changes what is named of a kept one. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { TriggerName } from "../../core/domain/Trigger.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import { byEvent, byEventOf } from "../byEvent.ts"
import { client, duration, namespace, once, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { unknownTask } from "../unknownTask.ts"
import { parsedJson } from "../parsedJson.ts"
import { Problem } from "../Problem.ts"
import { changeOf, expression, flagOf, rules, scheduleWords } from "../schedule.ts"

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

/** What can be taken away again, and what names it over REST. */
const removable = {
  "zone": "zone",
  "gap": "gap",
  "overlap": "overlap",
  "calendar": "calendar",
  "free-day": "freeDay",
  "start": "start",
  "end": "end",
  "jitter": "jitterMillis",
  "when": "when",
  "passing": "passing",
  "unreadable": "unreadable",
} as const
const others = ["misfire-age", "grace"] as const
type Removable = keyof typeof removable | typeof others[number]

export const triggerSet = Command.make("set", {
  ...client,
  namespace,
  once,
  name: triggerName,
  expression: expression.pipe(Argument.optional),
  ...rules,
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
  without: Flag.Literals("without", [...Object.keys(removable), ...others] as Array<Removable>)
    .pipe(
      Flag.withDescription("Takes away what that flag has said; may be given several times"),
      Flag.atLeast(0),
    ),
  revision: Flag.Int("revision").pipe(
    Flag.withDescription("Only if the trigger is at this revision; 0: only if there is none"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { keptTriggerJson }]) {
      const payload = yield* parsedJson("payload", given.payload, `${hint} --payload '{"a":1}'`)
      const without = new Set<Removable>(given.without)
      const named = {
        ...yield* changeOf(given.expression, given),
        ...yield* byEventOf(given),
      }
      const gone = Object.entries(removable).filter(([flag]) => without.has(flag as Removable))
      const twice = gone.find(([, field]) => field in named)?.[0] ??
        others.find((flag) => without.has(flag) && Option.isSome(given[optionOf[flag]]))
      if (twice !== undefined) {
        return yield* new Problem({
          kind: "usage",
          what: `--${twice} is named, and taken away with --without ${twice}`,
          fix: "leave one of them out",
          hint,
        })
      }
      const schedule = { ...named, ...Object.fromEntries(gone.map(([, field]) => [field, null])) }
      const misfired = {
        ...(Option.isSome(given.misfire) && { _tag: tags[given.misfire.value] }),
        ...(Option.isSome(given.misfireMax) && { max: given.misfireMax.value }),
        ...(Option.isSome(given.misfireAge) && { maxAgeMillis: given.misfireAge.value }),
        ...(without.has("misfire-age") && { maxAgeMillis: null }),
      }
      const { call } = yield* open(given)
      const kept = yield* call((api) =>
        api.triggers.change({
          params: { name: given.name },
          payload: {
            ...inNamespace(given.namespace),
            ...(Option.isSome(given.task) && { task: given.task.value as TaskName }),
            ...(Object.keys(schedule).length > 0 && { schedule }),
            ...(payload !== undefined && { payload }),
            ...(Object.keys(misfired).length > 0 && { misfire: misfired }),
            ...(Option.isSome(given.grace) && { graceMillis: given.grace.value }),
            ...(without.has("grace") && { graceMillis: null }),
            ...(Option.isSome(given.whileRunning) && { whileRunning: given.whileRunning.value }),
            ...(Option.isSome(given.revision) && { revision: given.revision.value }),
          },
        }).pipe(
          Effect.mapError((error) => {
            const flag = error._tag === "RequestRefused" ? flagOf(error.field) : undefined
            if (error._tag !== "RequestRefused" || flag === undefined) return error
            const what = `${flag}: ${error.reason}`
            return new Problem({ kind: "usage", what, fix: error.remedy, hint })
          }),
        )
      )
      if (given.json) return Output.printJson(keptTriggerJson(kept))
      Output.print(
        `trigger ${kept.name as TriggerName}, revision ${kept.revision}: ` +
          `${kept.task}, ${scheduleWords(kept.schedule)}`,
      )
      const { taskUnknown } = kept
      if (taskUnknown !== undefined) Output.talk(`${taskUnknown.detail} ${taskUnknown.remedy}`)
      if ("after" in kept.schedule) {
        const { after } = kept.schedule
        const unknown = yield* unknownTask(
          call((api) =>
            api.tasks.get({ params: { name: after }, query: inNamespace(given.namespace) })
          ),
        )
        if (unknown !== undefined) {
          Output.talk(`It follows a task that nobody has brought yet. ${unknown}`)
        }
      }
    }),
  )).pipe(
    Command.withDescription("Keep a trigger, or change what is named of one that is kept"),
    Command.withExamples([
      { command: hint },
      {
        command: "belfry trigger set nightly --zone Asia/Shanghai --without jitter",
        description: "What is not named stays as it is",
      },
      { command: "belfry trigger set poller permanent --task poll", description: "Always alive" },
      { command: 'belfry trigger set ship --after order --when "/total at least 100" --task ship' },
      { command: "belfry trigger set bill --table public.orders --task bill" },
    ]),
  )

const tags = { skip: "Skip", once: "Once", all: "All" } as const
const optionOf = { "misfire-age": "misfireAge", "grace": "grace" } as const

/** The `belfry` command: all of it at one glance, and how it ends. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Layer, Option } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { breakerKeys, breakerList } from "./commands/breakerList.ts"
import { breakerAuto, breakerClose, breakerOpen } from "./commands/breakerOrder.ts"
import { breakerSet } from "./commands/breakerSet.ts"
import { breakerShow } from "./commands/breakerShow.ts"
import { groupCancel } from "./commands/groupCancel.ts"
import { groupList } from "./commands/groupList.ts"
import { groupPause, groupResume } from "./commands/groupPause.ts"
import { groupShow } from "./commands/groupShow.ts"
import { audit } from "./commands/audit.ts"
import { calendarList } from "./commands/calendarList.ts"
import { calendarPut } from "./commands/calendarPut.ts"
import { calendarRemove } from "./commands/calendarRemove.ts"
import { calendarShow } from "./commands/calendarShow.ts"
import { clusterUp } from "./commands/clusterUp.ts"
import { dev } from "./commands/dev.ts"
import { executor } from "./commands/executor.ts"
import { exportTo } from "./commands/exportTo.ts"
import { importFrom } from "./commands/importFrom.ts"
import { migrate } from "./commands/migrate.ts"
import { executorResize } from "./commands/executorResize.ts"
import { executorList } from "./commands/executorList.ts"
import { lockList } from "./commands/lockList.ts"
import { lockRelease } from "./commands/lockRelease.ts"
import { runAgain } from "./commands/runAgain.ts"
import { runCancel } from "./commands/runCancel.ts"
import { runNotify } from "./commands/runNotify.ts"
import { runResume } from "./commands/runResume.ts"
import { runRevive } from "./commands/runRevive.ts"
import { runRollback } from "./commands/runRollback.ts"
import { runSet } from "./commands/runSet.ts"
import { runSuspend } from "./commands/runSuspend.ts"
import { runLogs } from "./commands/runLogs.ts"
import { runExecutions } from "./commands/runExecutions.ts"
import { runEvents } from "./commands/runEvents.ts"
import { runList } from "./commands/runList.ts"
import { runShow } from "./commands/runShow.ts"
import { runSubmit } from "./commands/runSubmit.ts"
import { runWhy } from "./commands/runWhy.ts"
import { server } from "./commands/server.ts"
import { status } from "./commands/status.ts"
import { taskList } from "./commands/taskList.ts"
import { taskShow } from "./commands/taskShow.ts"
import { triggerBackfill } from "./commands/triggerBackfill.ts"
import { triggerFire } from "./commands/triggerFire.ts"
import { triggerList } from "./commands/triggerList.ts"
import { triggerPause } from "./commands/triggerPause.ts"
import { triggerPreview } from "./commands/triggerPreview.ts"
import { triggerRemove } from "./commands/triggerRemove.ts"
import { triggerResume } from "./commands/triggerResume.ts"
import { triggerSet } from "./commands/triggerSet.ts"
import { triggerShow } from "./commands/triggerShow.ts"
import { triggerSlots } from "./commands/triggerSlots.ts"
import { triggerVersions } from "./commands/triggerVersions.ts"
import * as Ending from "./Ending.ts"
import { logger } from "./logger.ts"
import * as Output from "./Output.ts"
import { exitCodes, Problem, render, toJson } from "./Problem.ts"
import * as usage from "./usage.ts"
import { version } from "./version.ts"

const cluster = Command.make("cluster").pipe(
  Command.withDescription("Several processes on one PostgreSQL, on this machine"),
  Command.withSubcommands([clusterUp]),
)

const run = Command.make("run").pipe(
  Command.withDescription("Submit runs, and see what becomes of them"),
  Command.withSubcommands([
    runSubmit,
    runList,
    runShow,
    runEvents,
    runExecutions,
    runLogs,
    runWhy,
    runAgain,
    runCancel,
    runSet,
    runSuspend,
    runResume,
    runNotify,
    runRevive,
    runRollback,
  ]),
)

const trigger = Command.make("trigger").pipe(
  Command.withDescription("Rules that say when a task is due"),
  Command.withSubcommands([
    triggerList,
    triggerShow,
    triggerSlots,
    triggerVersions,
    triggerPreview,
    triggerSet,
    triggerPause,
    triggerResume,
    triggerRemove,
    triggerFire,
    triggerBackfill,
  ]),
)

const lock = Command.make("lock").pipe(
  Command.withDescription("Named locks, and who holds them"),
  Command.withSubcommands([lockList, lockRelease]),
)

const calendar = Command.make("calendar").pipe(
  Command.withDescription("Which days are workdays, for triggers that ask"),
  Command.withSubcommands([calendarPut, calendarList, calendarShow, calendarRemove]),
)

const breaker = Command.make("breaker").pipe(
  Command.withDescription("Circuit breakers: what holds runs while calls fail"),
  Command.withSubcommands([
    breakerList,
    breakerKeys,
    breakerShow,
    breakerSet,
    breakerOpen,
    breakerClose,
    breakerAuto,
  ]),
)

const group = Command.make("group").pipe(
  Command.withDescription("Tasks that are looked after as one"),
  Command.withSubcommands([groupList, groupShow, groupPause, groupResume, groupCancel]),
)

const task = Command.make("task").pipe(
  Command.withDescription("Definitions that executors brought"),
  Command.withSubcommands([taskList, taskShow]),
)

const belfry = Command.make("belfry").pipe(
  Command.withDescription("A distributed task scheduler: every bell is rung on time."),
  Command.withSubcommands([
    dev,
    server,
    executor.pipe(Command.withSubcommands([executorList, executorResize])),
    cluster,
    migrate,
    exportTo,
    importFrom,
    run,
    trigger,
    audit,
    calendar,
    breaker,
    group,
    task,
    lock,
    status,
  ]),
  Command.withExamples([
    { command: "belfry dev", description: "A server, an executor and sample tasks, here and now" },
    { command: `belfry run submit hello/world '{"name":"you"}' --wait` },
  ]),
)

/** Help goes to standard output when it was asked for; a usage error is short. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    Effect.sync(() => {
      if (event._tag === "Version") return Output.print(event.version)
      if (event._tag === "Help") {
        return Output.print(
          CliOutput.defaultFormatter({
            colors: Output.style("bold", "x") !== "x",
            globalFlags: "none",
          }).formatHelpDoc(event.helpDoc),
        )
      }
      report(
        new Problem({
          kind: "usage",
          what: [...new Set(event.errors.map(usage.line))].join("\n  "),
          hint: `${event.commandPath.join(" ")} --help`,
        }),
      )
    }),
}

const wantsJson = process.argv.some((word) => word === "--json" || word === "--jsonl")

const report = (problem: Problem) =>
  Output.talk(wantsJson ? JSON.stringify(toJson(problem)) : render(problem))

/** The exit code that an end of the program has; says what went wrong, if anything. */
const concluded = (exit: Exit.Exit<void, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return Ending.interruptedCode()
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (error instanceof Problem) {
    report(error)
    return error.exitCode
  }
  // The presenter has said what is wrong. Without an error a group of commands was named alone.
  if (CliError.isCliError(error) && error._tag === "ShowHelp") return exitCodes.usage
  Output.talk(`✗ something went wrong that should not have\n${Cause.pretty(exit.cause)}`)
  return exitCodes.failed
}

Ending.listen()
Command.runWith(belfry, { version })(usage.joined(process.argv.slice(2))).pipe(
  Effect.provide(Layer.mergeAll(
    NodeServices.layer,
    CliOutput.layerPresenter(presenter),
    CliConfig.layer({
      builtIns: [
        GlobalFlag.Help,
        GlobalFlag.Version,
        GlobalFlag.Completions,
        GlobalFlag.LogLevel,
      ],
    }),
    logger,
  )),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(concluded(exit as Exit.Exit<void, unknown>)),
  }),
)

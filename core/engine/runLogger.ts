/** Takes what a handler logs, by Effect's own log functions, for a line of its run. */
import { Cause, Context, Inspectable, Logger, References } from "effect"
import type { LogLevel } from "../domain/LogLine.ts"
import { CurrentRun } from "./CurrentRun.ts"

/** One for all runs: which one speaks is known by the fiber, so a run costs nothing here. */
const logger = Logger.make<unknown, void>(({ cause, fiber, logLevel, message }) => {
  const run = Context.getOrUndefined(fiber.context as Context.Context<CurrentRun>, CurrentRun)
  if (run === undefined) return
  const parts = (Array.isArray(message) ? message : [message]).map(textOf)
  const annotations = Object.entries(fiber.getRef(References.CurrentLogAnnotations))
    .map(([name, value]) => `${name}=${textOf(value)}`)
  const why = cause.reasons.length === 0 ? [] : [Cause.pretty(cause)]
  run.say(levelOf(logLevel), [...parts, ...annotations, ...why].join(" "))
})

const textOf = (part: unknown): string =>
  typeof part === "string" ? part : Inspectable.toStringUnknown(part, 0)

const levelOf = (level: string): LogLevel =>
  level === "Trace" || level === "Debug" || level === "Warn" || level === "Error" ||
    level === "Fatal"
    ? level
    : "Info"

/** `context`, and whatever is logged in it is said by its run too. */
export const withRunLogger = <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.add(
    context as Context.Context<never>,
    Logger.CurrentLoggers,
    new Set([...Context.get(context as Context.Context<never>, Logger.CurrentLoggers), logger]),
  ) as Context.Context<R>

/**
 * A trigger that follows another task: each run of that task that ends as the trigger asks makes one
 * run of its own. What its slots are named by is not an instant but the event.
 */
import { DateTime, Result, Schema } from "effect"
import { Condition, unmet, words } from "./Condition.ts"
import { Ends } from "./Ends.ts"
import type { Final } from "./Run.ts"
import type { RunId } from "./RunId.ts"
import type { Failure } from "./RunView.ts"
import { TaskName } from "./TaskName.ts"

/** An event as its storage numbers it, never twice. */
export const EventId = Schema.Int.pipe(Schema.brand("EventId"))
export type EventId = typeof EventId.Type

/**
 * What its runs get as their payload, instead of the trigger's own: the `result` of the run that has
 * ended, or the `event`, which tells of that run.
 */
export const Passing = Schema.Literals(["result", "event"])
export type Passing = typeof Passing.Type

export const fields = {
  /** Of the same namespace. */
  task: TaskName,
  on: Ends,
  /** What the result must be; a run without a result has none of it. */
  when: Schema.optionalKey(Condition),
  passing: Schema.optionalKey(Passing),
}
const Rule = Schema.Struct(fields)
export type Rule = typeof Rule.Type

/** Runs that follow each other are no longer than this: so a circle comes to an end. */
export const depthMax = 100

export const tooDeep =
  `${depthMax} runs have followed each other, and a circle of triggers would never end`
export const whilePaused = "its trigger was paused"
export const untaken = "nobody fired it while its run was known"

/** What is known of the run that has ended. */
export interface Ended {
  readonly run: RunId
  readonly task: TaskName
  readonly state: Final
  readonly attempt: number
  /** In milliseconds since 1970. */
  readonly at: number
  /** JSON text. */
  readonly result?: string | undefined
  readonly failure?: Failure | undefined
}

/** Whether the rule has to know the result. */
export const readsResult = ({ passing, when }: Rule): boolean =>
  when !== undefined || passing !== undefined

/** The payload of the run to be, or why there is none. */
export const judge = (
  rule: Rule,
  own: string,
  ended: Ended,
  payloadBytesMax: number,
): Result.Result<string, string> => {
  if (ended.task !== rule.task || !rule.on.includes(ended.state)) {
    return Result.fail(`its trigger does not follow ${ended.state} of ${ended.task} any more`)
  }
  const { passing, when = [] } = rule
  const result: unknown = ended.result === undefined ? undefined : JSON.parse(ended.result)
  const clause = unmet(when, result)
  if (clause !== undefined) return Result.fail(`not so: ${words(clause)}`)
  if (passing === undefined) return Result.succeed(own)
  const payload = passing === "result" ? ended.result ?? "null" : eventOf(ended, result)
  const bytes = payload.length > payloadBytesMax / 3 ? new TextEncoder().encode(payload).length : 0
  return bytes <= payloadBytesMax ? Result.succeed(payload) : Result.fail(
    `what it passes on has ${bytes} bytes, and a payload at most ${payloadBytesMax}`,
  )
}

/** A stack is for people, and long. */
const eventOf = ({ at, attempt, failure, run, state, task }: Ended, result: unknown): string =>
  JSON.stringify({
    // As every interface carries it.
    run: `${run}`,
    task,
    state,
    attempt,
    at: DateTime.formatIso(DateTime.makeUnsafe(at)),
    ...(result !== undefined && { result }),
    ...(failure !== undefined && { failure: { tag: failure.tag, message: failure.message } }),
  })

/**
 * How the runs of a task are carried out: plain data, stored with the task, shown and edited.
 *
 * What is not named has its usual meaning, so a definition stored before a field existed reads as
 * it did then. A field that no part of the engine acts on yet is known and refused (`notYet`):
 * nobody is told that something holds which does not.
 */
import { Result, Schema } from "effect"
import { AlertRule } from "./AlertRule.ts"
import { Backlog } from "./Backlog.ts"
import { Blocking, type Rule, ruleOf, Scope, weightsMax } from "./Blocking.ts"
import * as Breaker from "./Breaker.ts"
import { Group, isLimited } from "./Group.ts"
import { Level, Order, usual } from "./Lane.ts"
import { RateLimit } from "./RateLimit.ts"
import { refusalOf, Refused } from "./Refused.ts"
import { Amounts, Touches } from "./Resources.ts"
import { Retention } from "./Retention.ts"
import * as Retry from "./Retry.ts"
import { Routing } from "./Routing.ts"
import { Selector } from "./Selector.ts"
import { thingsMax } from "./Touching.ts"

const dayMillis = 86_400_000
const millis = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))

export const Policy = Schema.Struct({
  retry: Retry.Retry,
  /** An attempt that runs longer is interrupted and has timed out. */
  timeoutMillis: Schema.optionalKey(millis(30 * dayMillis)),
  /** A run that has not started this long after it was due expires. */
  deadlineMillis: Schema.optionalKey(millis(366 * dayMillis)),
  blocking: Schema.optionalKey(Blocking),
  /** Unless named: of equal key where the task derives one, else of the task. */
  blockingScope: Schema.optionalKey(Scope),
  /** `at-most-once`: a run whose executor was lost after it started has failed. */
  delivery: Schema.Literals(["at-least-once", "at-most-once"]),
  /** How many lost executors a run survives before it is put into quarantine. */
  crashesMax: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  /** Only of those within such a time, since the run last came on; of all unless given. */
  crashesWithinMillis: Schema.optionalKey(millis(366 * dayMillis)),
  level: Level,
  /**
   * What decides among its runs of a level; the earlier of patience and deadline unless given, and where
   * they wait for a single place of a gate, the order of submit.
   */
  order: Schema.optionalKey(Order),
  /** Only executors with such labels carry it out. */
  selector: Schema.optionalKey(Selector),
  routing: Schema.optionalKey(Routing),
  /** What a run uses up of its executor's resources. */
  resources: Schema.optionalKey(Amounts),
  /** Things outside that a run uses, alone or beside others. */
  touches: Schema.optionalKey(Touches),
  /** With so many of its runs waiting, no more are taken in. */
  backlog: Schema.optionalKey(Backlog),
  rateLimit: Schema.optionalKey(RateLimit),
  /** The circuit breaker that the runs stand behind, by its name; or that of their key. */
  breaker: Schema.optionalKey(Breaker.Behind),
  /** What is looked after as one with other tasks, and how many runs of all of them are at once. */
  group: Schema.optionalKey(Group),
  /** Where user code runs: beside others in one thread, or in a thread or process of its own. */
  isolation: Schema.optionalKey(Schema.Literals(["fiber", "thread", "process"])),
  alerts: Schema.optionalKey(Schema.Array(AlertRule).check(Schema.isMaxLength(16))),
  /** For how long its runs are known after they ended; `Retention.usual` unless given. */
  retention: Schema.optionalKey(Retention),
})
export type Policy = typeof Policy.Type

export const usualPolicy: Policy = {
  retry: Retry.none,
  delivery: "at-least-once",
  crashesMax: 3,
  level: usual,
}

/** How the runs block each other that one executor has, if they do. */
export const ruleOfExecutor = (
  { blocking, blockingScope }: Pick<Policy, "blocking" | "blockingScope">,
): Rule | undefined =>
  blockingScope !== "executor" || blocking === undefined || blocking._tag === "Fair"
    ? undefined
    : ruleOf(blocking)

/** Whether nobody chooses an executor for a run: whoever has room claims it. */
export const isForAny = ({ resources, routing }: Pick<Policy, "resources" | "routing">): boolean =>
  routing === undefined ? resources === undefined : routing._tag === "Any"

/** What is not carried out yet, by field; the remedy says what to do without it. */
const notYet: ReadonlyArray<{
  readonly field: string
  readonly isAsked: (policy: Policy) => boolean
  readonly remedy: string
}> = [
  {
    field: "alerts",
    isAsked: ({ alerts }) => alerts !== undefined && alerts.length > 0,
    remedy: "Leave it out",
  },
]

/** What each part of a policy may say, and not all of it together. */
const contradictions: ReadonlyArray<{
  readonly field: string
  readonly isSaid: (policy: Policy) => boolean
  readonly reason: string
  readonly remedy: string
}> = [
  {
    field: "blockingScope",
    isSaid: ({ blocking, blockingScope }) => blockingScope !== undefined && blocking === undefined,
    reason: "nothing is said of what blocks within it",
    remedy: "Name a blocking too, such as Blocking.fifo, or leave the scope out",
  },
  {
    field: "blockingScope",
    isSaid: ({ blocking, blockingScope }) => blocking?._tag === "Fair" && blockingScope === "task",
    reason: "shares are those of keys",
    remedy: 'Leave the scope out, or use "key"',
  },
  {
    field: "blockingScope",
    isSaid: ({ blocking, blockingScope }) =>
      blocking?._tag === "Fair" && blockingScope === "executor",
    reason: "shares are of places that all executors have in common",
    remedy: 'Leave the scope out, or use "key"',
  },
  {
    field: "blockingScope",
    isSaid: (policy) => {
      const rule = ruleOfExecutor(policy)
      return rule !== undefined && rule.whenFull !== "wait" && isForAny(policy)
    },
    reason: "a run goes to any executor that is free, so it meets no other one at work",
    remedy: "Name a routing, such as Routing.roundRobin, or use another scope",
  },
  {
    field: "blocking.weights",
    isSaid: ({ blocking }) =>
      blocking?._tag === "Fair" && Object.keys(blocking.weights ?? {}).length > weightsMax,
    reason: `more than ${weightsMax} keys have a weight`,
    remedy: "Give the most important ones a weight, or let groups of them be one key",
  },
  {
    field: "touches",
    isSaid: ({ blocking, touches }) => touches !== undefined && blocking !== undefined,
    reason: "a run passes one gate, and a task with blocking has another",
    remedy: "Leave blocking out; a thing named after the task, touched exclusively, is a queue",
  },
  {
    field: "touches",
    isSaid: ({ touches = {} }) => Object.keys(touches).length > thingsMax,
    reason: `more than ${thingsMax} things are touched`,
    remedy: "Give those that are touched together one name",
  },
  {
    field: "group",
    isSaid: ({ blocking, blockingScope, group }) =>
      isLimited(group) && blocking !== undefined && blockingScope !== "executor",
    reason: "a run passes one gate, and a task with blocking has another than its group",
    remedy: "Leave blocking out, as runs of a group with a limit wait for each other anyway, or " +
      "name a group without a limit",
  },
  {
    field: "group",
    isSaid: ({ group, touches }) => isLimited(group) && touches !== undefined,
    reason: "a run passes one gate, and what it touches is another than its group",
    remedy: "Name a group without a limit, and a thing that all its tasks touch exclusively",
  },
  {
    field: "group",
    isSaid: ({ group, routing }) =>
      isLimited(group) && (routing?._tag === "Sharded" || routing?._tag === "Broadcast"),
    reason: "the parts of such a run pass the gate of their parent, and would not be counted",
    remedy: "Name a group without a limit, or another routing",
  },
  {
    field: "group",
    isSaid: ({ group, routing }) => isLimited(group) && routing?._tag === "ConsistentHash",
    reason: "the gate of the group says nothing of the key that the executor is chosen by",
    remedy: "Name a group without a limit, or another routing",
  },
  {
    field: "crashesWithinMillis",
    isSaid: ({ crashesMax, crashesWithinMillis, delivery }) =>
      crashesWithinMillis !== undefined && (crashesMax === 0 || delivery === "at-most-once"),
    reason: "the first crash ends the run, so there are none to forget",
    remedy: "Leave it out, or let a run survive some crashes",
  },
  {
    field: "retry.withinMillis",
    isSaid: ({ retry: { attempts, delayMillis, withinMillis } }) =>
      withinMillis !== undefined && (attempts === 1 || withinMillis < delayMillis),
    reason: "no attempt but the first would ever begin within it",
    remedy: "Allow more than one attempt, the second of them sooner, or leave it out",
  },
  {
    field: "breaker",
    isSaid: ({ blocking, blockingScope = "key", breaker }) =>
      Breaker.isByKey(breaker) && (blocking === undefined || blockingScope !== "key"),
    reason: "a breaker by key lets through those that hold a place of their key, and nothing " +
      "bounds how many do",
    remedy: "Name a blocking by key too, such as Blocking.concurrent(10), or one breaker for all " +
      "by its name",
  },
  {
    field: "breaker",
    isSaid: ({ blocking, breaker }) => Breaker.isByKey(breaker) && blocking?._tag === "Fair",
    reason: "those that wait for the breaker of one key would hold the places that all keys share",
    remedy: "Use Blocking.concurrent, which gives each key places of its own",
  },
  {
    field: "breaker",
    isSaid: ({ breaker, routing }) =>
      Breaker.isByKey(breaker) && (routing?._tag === "Sharded" || routing?._tag === "Broadcast"),
    reason: "the parts of such a run pass the gate of their parent, and have no key",
    remedy: "Name one breaker for all by its name, or another routing",
  },
  {
    field: "resources",
    isSaid: ({ resources, routing }) => resources !== undefined && routing?._tag === "Any",
    reason: "nobody counts what is used of an executor that no one is placed with",
    remedy: 'Leave the routing out, for { _tag: "ResourceAware" }, or name one that places',
  },
]

/** The fields that a policy may not name yet. */
export const notYetCarriedOut: ReadonlyArray<string> = notYet.map(({ field }) => field)

const decode = Schema.decodeUnknownResult(Policy)

/** The policy that `given` is, if it is one and all of it can be carried out. */
export const check = (given: unknown, field = "policy"): Result.Result<Policy, Refused> =>
  decode(given, { onExcessProperty: "error", reportInput: true }).pipe(
    Result.mapError((error) => refusalOf(error, field)),
    Result.flatMap((policy) => {
      const refused = (of: string, reason: string, remedy: string) =>
        Result.fail(new Refused({ field: `${field}.${of}`, reason, remedy }))
      const asked = notYet.find(({ isAsked }) => isAsked(policy))
      if (asked !== undefined) {
        return refused(asked.field, "this is not yet carried out", asked.remedy)
      }
      const said = contradictions.find(({ isSaid }) => isSaid(policy))
      return said === undefined
        ? Result.succeed(policy)
        : refused(said.field, said.reason, said.remedy)
    }),
  )

/** A run as others see it: everything known about it, in the words of the glossary. */
import { Schema } from "effect"
import { Asked } from "./Asked.ts"
import { GateKey } from "./Blocking.ts"
import { ExecutorName, Holder, Incarnation } from "./Executor.ts"
import { Shard } from "./FanIn.ts"
import type { Labels } from "./Labels.ts"
import { Lane, Level, selectorOf } from "./Lane.ts"
import { Fence } from "./Lease.ts"
import { Obstacle } from "./Placement.ts"
import { Namespace } from "./Namespace.ts"
import { Closed } from "./Permit.ts"
import { StateName } from "./Run.ts"
import { RunIdFromString } from "./RunId.ts"
import { matches, Selector } from "./Selector.ts"
import { TaskName } from "./Task.ts"
import { stillRunning, TriggerName } from "./Trigger.ts"

/** Why an attempt did not succeed. The texts are cut to bounds before they are stored. */
export const Failure = Schema.Struct({
  /** The tag of a declared error, or the name of what was thrown. */
  tag: Schema.String,
  message: Schema.String,
  stack: Schema.optionalKey(Schema.String),
  /** A declared error, encoded by the task's error schema, as JSON text. */
  error: Schema.optionalKey(Schema.String),
  /** What it came from, the nearest first. */
  causes: Schema.optionalKey(Schema.Array(Schema.Struct({
    tag: Schema.String,
    message: Schema.String,
    stack: Schema.optionalKey(Schema.String),
  }))),
})
export type Failure = typeof Failure.Type

/** Why a run has expired. */
export const tooLate: Failure = {
  tag: "Expired",
  message: "its deadline had passed before it was begun",
}

/** Why a run that was handed over has timed out. */
export const unnotified: Failure = { tag: "TimedOut", message: "nobody notified of it in time" }

const PassedOver = Schema.Array(
  Schema.Struct({ incarnation: Incarnation, name: ExecutorName, obstacle: Obstacle }),
)

/** Whom a run was placed with, by which strategy, and why none of the others, the first of them. */
export const Placed = Schema.Struct({
  incarnation: Incarnation,
  name: ExecutorName,
  /** The tag of the routing. */
  strategy: Schema.String,
  passedOver: PassedOver,
})
export type Placed = typeof Placed.Type

/** Why a run has failed that its trigger has not let begin. */
export const overlapping = (running: number): Failure => ({
  tag: "StillRunning",
  message: stillRunning(running),
})

export const RunView = Schema.Struct({
  id: RunIdFromString,
  namespace: Namespace,
  task: TaskName,
  state: StateName,
  attempt: Schema.Int,
  crashes: Schema.Int,
  fence: Fence,
  lane: Lane,
  level: Level,
  /** An operator has set another since: that of its submit. */
  submittedLevel: Schema.optionalKey(Level),
  /** When it is too late to begin it; told until it is granted. */
  deadlineAt: Schema.optionalKey(Schema.DateTimeUtc),
  /** Rises with every change; absent: 1, as it was submitted. */
  revision: Schema.optionalKey(Schema.Int),
  /** JSON text, as submitted. */
  payload: Schema.String,
  /** JSON text, as the handler answered. */
  result: Schema.optionalKey(Schema.String),
  failure: Schema.optionalKey(Failure),
  idempotencyKey: Schema.optionalKey(Schema.String),
  gate: Schema.optionalKey(GateKey),
  trigger: Schema.optionalKey(TriggerName),
  slot: Schema.optionalKey(Schema.DateTimeUtc),
  /** The executor that holds it, or ended it. */
  executor: Schema.optionalKey(Holder),
  createdAt: Schema.DateTimeUtc,
  /** When it becomes, or became, due. */
  dueAt: Schema.DateTimeUtc,
  claimedAt: Schema.optionalKey(Schema.DateTimeUtc),
  finishedAt: Schema.optionalKey(Schema.DateTimeUtc),
  isCancelling: Schema.optionalKey(Schema.Boolean),
  isSuspending: Schema.optionalKey(Schema.Boolean),
  /** Running, and its outcome is known: what is left of it. */
  phase: Schema.optionalKey(Schema.Literals(["rollingBack", "cleaning"])),
  /** It is a child. */
  shard: Schema.optionalKey(Shard),
  /** The run whose end its trigger followed. */
  after: Schema.optionalKey(RunIdFromString),
  /** Somebody asked for it by hand, and said who, or which run it does again. */
  asked: Schema.optionalKey(Asked),
  /** Its task is routed: how it was placed last. */
  placed: Schema.optionalKey(Schema.Struct({ ...Placed.fields, at: Schema.DateTimeUtc })),
})
export type RunView = typeof RunView.Type

/** One thing that happened to a run, derived from its rows and the journal. */
export const RunHappening = Schema.Struct({
  at: Schema.DateTimeUtc,
  /**
   * As in `Submitted`, `Asked`, `Admitted`, `Placed`, `Spread`, `Claimed`, `Started`, `Retried`, `Lost`,
   * `Released`, `Postponed`, `CancelAsked`, `LevelSet`, `DeadlineSet`, `SuspendAsked`, `Suspended`, `Yielded`, `Resumed`,
   * `Awaited`, `Notified`, `Unnotified`, `RollbackAsked`, `Revived`, `Reopened`, `Replaced`, `LateReport`, or a final
   * state.
   */
  kind: Schema.String,
  attempt: Schema.Int,
  fence: Fence,
  detail: Schema.optionalKey(Schema.String),
  /** To whom it was granted: with `Claimed`, of the latest grant and of those that it went on after. */
  executor: Schema.optionalKey(Holder),
  /** Who gave the order that it tells of. */
  by: Schema.optionalKey(Schema.String),
})
export type RunHappening = typeof RunHappening.Type

/** Its level, and that of its submit, where an operator has set another. */
const Set = {
  level: Schema.optionalKey(Schema.Struct({ present: Level, submitted: Level })),
}

/** Why a run is where it is, with a pointer to what it waits for. */
export const Reason = Schema.TaggedUnion({
  /** It is not due yet, or waits for its next attempt. */
  DueLater: { at: Schema.DateTimeUtc, failure: Schema.optionalKey(Failure) },
  /** Others hold all places of its gate. */
  GateFull: { gate: GateKey, holders: Schema.Array(RunIdFromString), ahead: Schema.Int, ...Set },
  /** It passed its gate's decision by and is admitted with the next one. */
  GateOpen: { gate: GateKey },
  /** No live executor serves its task. */
  NoExecutor: { task: TaskName },
  /** Live executors serve its task, and none has the labels that it asks for. */
  NoneMatches: { task: TaskName, selector: Selector },
  /**
   * Nobody was chosen for it yet, as all were passed over. Without a strategy it is just about to be
   * looked at.
   */
  Unplaced: {
    task: TaskName,
    strategy: Schema.optionalKey(Schema.String),
    passedOver: PassedOver,
  },
  /** Executors serve its task, and this many runs of its lane go first. */
  Waiting: { lane: Lane, ahead: Schema.Int, ...Set },
  /** It is ready, and the limit of its task lets the next start then. */
  RateLimited: Closed.cases.RateLimited.fields,
  /** It is ready, and its breaker lets none through. */
  BreakerOpen: Closed.cases.BreakerOpen.fields,
  /** It waits, and an operator has paused the group of its task. */
  GroupPaused: Closed.cases.GroupPaused.fields,
  Held: {
    incarnation: Incarnation,
    name: ExecutorName,
    isCancelling: Schema.Boolean,
    isSuspending: Schema.optionalKey(Schema.Boolean),
  },
  /** It was handed over, and nobody has notified yet. */
  Awaits: { until: Schema.optionalKey(Schema.DateTimeUtc) },
  /** So many of its children have not ended, the first of them named. */
  AwaitsChildren: { left: Schema.Int, children: Schema.Array(RunIdFromString) },
  /** Until somebody resumes it. */
  Suspended: { since: Schema.DateTimeUtc },
  /** It has ended. */
  Ended: { state: StateName, failure: Schema.optionalKey(Failure) },
})
export type Reason = typeof Reason.Type

/** Why nobody will claim a ready run, if so; `serving` are the labels of those who serve its task. */
export const unserved = (
  task: TaskName,
  lane: Lane,
  serving: ReadonlyArray<Labels>,
): Reason | undefined => {
  if (serving.length === 0) return { _tag: "NoExecutor", task }
  const selector = selectorOf(lane)
  return selector === undefined || serving.some((labels) => matches(selector, labels))
    ? undefined
    : { _tag: "NoneMatches", task, selector }
}

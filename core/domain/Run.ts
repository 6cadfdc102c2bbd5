/**
 * A run is one occurrence of a task, the smallest thing that is executed. It waits until it is due
 * and admitted, is claimed by an executor, and ends exactly once.
 *
 * ```text
 *                 ┌──────────── Retry ─────────────┐
 *                 ▼                                │
 *   submit ─▶ Scheduled ──Due──▶ Ready ──Claim──▶ Running ──Succeed──▶ Succeeded
 *      │          │                ▲ ▲  ▲          │ │ │ │──GiveUp───▶ Failed
 *      │          Due              │ │  └─Release──┘ │ │ └──TimeOut──▶ TimedOut
 *      │          ▼                │ └───── Lose ────┘ └────Lose─────▶ Quarantined
 *      └──────▶ Blocked ──Admit────┘
 *                 └──Discard──▶ Discarded        any but a final one ──Cancel──▶ Cancelled
 * ```
 *
 * `advance` is the only way from one state to the next; a store applies its result, it never
 * decides. Cancel asks a running run to stop, and it is cancelled once its holder has answered or
 * is fenced off.
 *
 * Three numbers, and they are not the same. The *fence* rises with every grant. The *attempt*
 * counts starts of user code: it is given back when the grant was. *Crashes* count executors that
 * were lost after they had marked the start.
 */
import { Result, Schema } from "effect"
import { Fence } from "./Lease.ts"

/** What a run keeps through all its states. */
const Course = {
  attempt: Schema.Int,
  crashes: Schema.Int,
  fence: Fence,
  /** The start is marked in storage before user code runs: at-most-once, or lost once before. */
  isCareful: Schema.Boolean,
}
export const Numbers = Schema.Struct(Course)
export type Numbers = typeof Numbers.Type

export const RunState = Schema.TaggedUnion({
  /** Due later, or between attempts. Before its first grant a gated run holds no place. */
  Scheduled: { ...Course, isGated: Schema.Boolean },
  Blocked: Course,
  Ready: Course,
  Running: { ...Course, isStartMarked: Schema.Boolean, isCancelling: Schema.Boolean },
  Succeeded: Course,
  Failed: Course,
  TimedOut: Course,
  Cancelled: Course,
  Discarded: Course,
  Quarantined: Course,
})
export type RunState = typeof RunState.Type

export const StateName = Schema.Literals([
  "Scheduled",
  "Blocked",
  "Ready",
  "Running",
  "Succeeded",
  "Failed",
  "TimedOut",
  "Cancelled",
  "Discarded",
  "Quarantined",
])
export type StateName = typeof StateName.Type

export const finals = [
  "Succeeded",
  "Failed",
  "TimedOut",
  "Cancelled",
  "Discarded",
  "Quarantined",
] as const satisfies ReadonlyArray<StateName>
export type Final = (typeof finals)[number]
export const Final = Schema.Literals(finals)

export const isFinal = (state: StateName): state is Final =>
  (finals as ReadonlyArray<StateName>).includes(state)

export const RunEvent = Schema.TaggedUnion({
  Due: {},
  Admit: {},
  Discard: {},
  Claim: {},
  Start: { fence: Fence },
  Succeed: { fence: Fence },
  Retry: { fence: Fence },
  GiveUp: { fence: Fence },
  TimeOut: { fence: Fence },
  /** Its holder gives it back unstarted. */
  Release: { fence: Fence },
  /** Its holder has stopped it, as asked. */
  Abort: { fence: Fence },
  /** Its holder is lost. */
  Lose: { crashesMax: Schema.Int, isAtMostOnce: Schema.Boolean },
  Cancel: {},
})
export type RunEvent = typeof RunEvent.Type

/** The run cannot take this event in the state it is in. Nothing was changed. */
export class RunEventRefused extends Schema.TaggedError<RunEventRefused>()("RunEventRefused", {
  state: RunState,
  event: RunEvent,
}) {}

type Of<Union, Tag> = Extract<Union, { readonly _tag: Tag }>
type Running = Of<RunState, "Running">

const numbers = ({ attempt, crashes, fence, isCareful }: RunState): Numbers => ({
  attempt,
  crashes,
  fence,
  isCareful,
})

const to = <Tag extends Final | "Blocked" | "Ready">(tag: Tag, state: RunState): RunState =>
  ({ _tag: tag, ...numbers(state) }) as RunState

/** A run that was asked to stop does not come back, however its attempt ended. */
const unlessCancelling = (state: Running, next: () => RunState): RunState =>
  state.isCancelling ? to("Cancelled", state) : next()

const lose = (state: Running, event: Of<RunEvent, "Lose">): RunState => {
  // Nobody knows whether user code had started, so the attempt is neither counted nor a crash;
  // from now on the start is marked, and the next loss is told apart.
  if (!state.isStartMarked) {
    return { _tag: "Ready", ...numbers(state), attempt: state.attempt - 1, isCareful: true }
  }
  if (event.isAtMostOnce) return to("Failed", state)
  const crashed = { ...numbers(state), crashes: state.crashes + 1, isCareful: true }
  return { _tag: crashed.crashes > event.crashesMax ? "Quarantined" : "Ready", ...crashed }
}

/** One row per state, one cell per event that the state accepts. An absent cell is a refusal. */
const transitions: {
  readonly [S in StateName]: {
    readonly [E in RunEvent["_tag"]]?: (state: Of<RunState, S>, event: Of<RunEvent, E>) => RunState
  }
} = {
  Scheduled: {
    // A run that was granted before already holds its place, so it need not pass the gate again.
    Due: (state) => to(state.isGated && state.fence === 0 ? "Blocked" : "Ready", state),
    Cancel: (state) => to("Cancelled", state),
  },
  Blocked: {
    Admit: (state) => to("Ready", state),
    Discard: (state) => to("Discarded", state),
    Cancel: (state) => to("Cancelled", state),
  },
  Ready: {
    Claim: (state) => ({
      _tag: "Running",
      ...numbers(state),
      attempt: state.attempt + 1,
      fence: Fence.make(state.fence + 1),
      isStartMarked: false,
      isCancelling: false,
    }),
    Cancel: (state) => to("Cancelled", state),
  },
  Running: {
    Start: (state) => ({ ...state, isStartMarked: true }),
    Succeed: (state) => to("Succeeded", state),
    Retry: (state) =>
      unlessCancelling(
        state,
        () => ({ _tag: "Scheduled", ...numbers(state), isGated: false }),
      ),
    GiveUp: (state) => unlessCancelling(state, () => to("Failed", state)),
    TimeOut: (state) => unlessCancelling(state, () => to("TimedOut", state)),
    Release: (state) =>
      unlessCancelling(
        state,
        () => ({ _tag: "Ready", ...numbers(state), attempt: state.attempt - 1 }),
      ),
    Abort: (state) => to("Cancelled", state),
    Lose: (state, event) => unlessCancelling(state, () => lose(state, event)),
    Cancel: (state) => ({ ...state, isCancelling: true }),
  },
  Succeeded: {},
  Failed: {},
  TimedOut: {},
  Cancelled: {},
  Discarded: {},
  Quarantined: {},
}

export const advance = (
  state: RunState,
  event: RunEvent,
): Result.Result<RunState, RunEventRefused> => {
  // The mapped type ties each cell to its own state and event; the lookup by two runtime tags
  // loses that tie, so it is restored here, once.
  const cell = transitions[state._tag][event._tag] as
    | ((state: RunState, event: RunEvent) => RunState)
    | undefined
  const refused = cell === undefined || isFenced(state, event)
  return refused
    ? Result.fail(new RunEventRefused({ state, event }))
    : Result.succeed(cell(state, event))
}

/** An executor whose grant has passed on still reports its old fence, and is turned away by it. */
const isFenced = (state: RunState, event: RunEvent): boolean =>
  "fence" in event && event.fence !== state.fence

/** The state of a run as it is submitted. */
export const submitted = (options: {
  readonly isDueLater: boolean
  readonly isGated: boolean
  readonly isAtMostOnce: boolean
}): RunState => {
  const course = {
    attempt: 0,
    crashes: 0,
    fence: Fence.make(0),
    isCareful: options.isAtMostOnce,
  }
  if (options.isDueLater) return { _tag: "Scheduled", ...course, isGated: options.isGated }
  return { _tag: options.isGated ? "Blocked" : "Ready", ...course }
}

/** Whether the run holds its place of a gate in this state. */
export const holdsPlace = (state: RunState): boolean =>
  state._tag === "Ready" || state._tag === "Running" ||
  (state._tag === "Scheduled" && state.fence > 0)

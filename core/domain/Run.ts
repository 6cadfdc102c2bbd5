/**
 * A run is one occurrence of a task, the smallest thing that is executed. It waits until it is due
 * and admitted, is claimed by an executor, and ends once.
 *
 * ```text
 *                 ┌─────── Retry, Postpone ────────┐
 *                 ▼                                │
 *   submit ─▶ Scheduled ──Due──▶ Ready ──Claim──▶ Running ──Succeed──▶ Succeeded
 *      │          │                ▲ ▲  ▲          │ │ │ │──GiveUp───▶ Failed
 *      │          Due              │ │  └─Release──┘ │ │ └──TimeOut──▶ TimedOut
 *      │          ▼                │ └───── Lose ────┘ └────Lose─────▶ Quarantined
 *      └──────▶ Blocked ──Admit────┘
 *                 └──Discard──▶ Discarded        any but a final one ──Cancel──▶ Cancelled
 *   Running, unstarted ──Discard──▶ Discarded
 *
 *   waiting, or Running ──Suspend, Yield──▶ Suspended ──Resume──▶ back to where it waits
 *   Running ──Await──▶ Awaiting ──Notify──▶ Succeeded, Failed    ──Expire──▶ TimedOut
 *   Awaiting, its hooks left ──Notify, Expire, Cancel──▶ Ready, for those alone
 *   waiting, and past its deadline ──Expire──▶ Expired
 *   Failed, TimedOut, Quarantined ──Revive──▶ back to where it waits
 *   what was granted and has ended ──RollBack──▶ back to where it waits
 * ```
 *
 * That is the picture; all of it, drawn from the table below, stands in `docs/states.md`.
 *
 * `advance` is the only way from one state to the next; a store applies its result, it never
 * decides. Cancel asks a running run to stop, and it is cancelled once its holder has answered or
 * is fenced off; Suspend asks it to be put down, and it is suspended once its holder has.
 *
 * A parent is a run that nobody holds: it awaits its children, and ends when the last of them has.
 * What has ended stays so, but for two things: an operator may revive what failed, or have what it did
 * rolled back, as the same run.
 *
 * Three numbers, and they are not the same. The *fence* rises with every grant. The *attempt*
 * counts starts of user code: it is given back when the grant was, or was postponed, and when it is
 * put down, since what is resumed goes on with the same attempt. *Crashes* count executors that were lost after
 * they had marked the start.
 */
import { Result, Schema } from "effect"
import { Fence } from "./Lease.ts"

/** What a run keeps through all its states. */
const Course = {
  attempt: Schema.Int,
  crashes: Schema.Int,
  fence: Fence,
  /**
   * The start is marked in storage before user code runs: at-most-once, lost once before, with a
   * deadline, or with a level that an operator has set.
   */
  isCareful: Schema.Boolean,
}
export const Numbers = Schema.Struct(Course)
export type Numbers = typeof Numbers.Type

export const RunState = Schema.TaggedUnion({
  /** Due later, or between attempts. Before its first grant a gated run holds no place. */
  Scheduled: { ...Course, isGated: Schema.Boolean },
  Blocked: Course,
  Ready: Course,
  Running: {
    ...Course,
    isStartMarked: Schema.Boolean,
    isCancelling: Schema.Boolean,
    isSuspending: Schema.Boolean,
  },
  /** Handed over to something outside that will notify, or, a parent, to its children. */
  Awaiting: { ...Course, isParent: Schema.Boolean },
  /** Put down until an operator resumes it. */
  Suspended: { ...Course, isAdmitted: Schema.Boolean },
  Succeeded: Course,
  Failed: Course,
  TimedOut: Course,
  Cancelled: Course,
  Discarded: Course,
  Quarantined: Course,
  Expired: Course,
})
export type RunState = typeof RunState.Type

export const StateName = Schema.Literals([
  "Scheduled",
  "Blocked",
  "Ready",
  "Running",
  "Awaiting",
  "Suspended",
  "Succeeded",
  "Failed",
  "TimedOut",
  "Cancelled",
  "Discarded",
  "Quarantined",
  "Expired",
])
export type StateName = typeof StateName.Type

/** Stores number them in this order. */
export const finals = [
  "Succeeded",
  "Failed",
  "TimedOut",
  "Cancelled",
  "Discarded",
  "Quarantined",
  "Expired",
] as const satisfies ReadonlyArray<StateName>
export type Final = (typeof finals)[number]
export const Final = Schema.Literals(finals)

export const isFinal = (state: string): state is Final =>
  (finals as ReadonlyArray<string>).includes(state)

/** It was handed over, and how it ends is known now, but its hooks are still to come. */
const Left = { isLeft: Schema.optionalKey(Schema.Boolean) }

export const RunEvent = Schema.TaggedUnion({
  Due: {},
  Admit: {},
  /** Of a running one: its holder has it no room. */
  Discard: { fence: Schema.optionalKey(Fence) },
  /** No executor will ever take it. */
  Misplace: {},
  /** It is carried out in parts, as their parent. */
  Spread: {},
  Claim: {},
  Start: { fence: Fence },
  Succeed: { fence: Fence },
  Retry: { fence: Fence },
  GiveUp: { fence: Fence },
  TimeOut: { fence: Fence },
  /** Its holder gives it back unstarted. */
  Release: { fence: Fence },
  /** As `Release`, and it is due again later: what it would call lets nobody through now. */
  Postpone: { fence: Fence },
  /** Its holder has stopped it, as asked. */
  Abort: { fence: Fence },
  /** Its holder has put it down, to be resumed. */
  Yield: { fence: Fence },
  /** Its holder has handed it over, and somebody will notify of its end. */
  Await: { fence: Fence },
  /** Its holder is lost. */
  Lose: {
    crashesMax: Schema.Int,
    /** How many losses count, this one with them; each of its crashes unless named. */
    lately: Schema.optionalKey(Schema.Int),
    isAtMostOnce: Schema.Boolean,
    /** How it will end, as its holder had concluded. */
    concluded: Schema.optionalKey(
      Schema.Literals(["Succeeded", "Failed", "TimedOut", "Cancelled"]),
    ),
  },
  Cancel: Left,
  Suspend: {},
  /** `places`: how many its gate has, `0` for none. */
  Resume: { isDue: Schema.Boolean, places: Schema.Int },
  Notify: { ...Left, isSuccess: Schema.Boolean },
  /** Its deadline has passed before user code started; or the time is up that it awaits at most. */
  Expire: Left,
  /** All its children have ended. */
  Gather: { verdict: Schema.Literals(["Succeeded", "Failed", "Cancelled"]) },
  /** An operator gives it another try. */
  Revive: { isGated: Schema.Boolean },
  /** An operator wants undone what it did. */
  RollBack: { isGated: Schema.Boolean },
  /** A child of it was revived, or is to be rolled back. */
  Reopen: {},
  /** An operator has given it another level, or deadline. */
  Change: {},
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

const suspended = (state: RunState, isAdmitted: boolean): RunState => ({
  _tag: "Suspended",
  ...numbers(state),
  isAdmitted,
})

/** Where it would wait for its next grant, it is put down if that was asked for. */
const unlessSuspending = (state: Running, next: RunState): RunState =>
  state.isSuspending && !isFinal(next._tag) ? suspended(next, true) : next

/** Only what never began can be too late to begin. */
const expire = (state: RunState): RunState | undefined =>
  state.attempt === 0 ? to("Expired", state) : undefined

/** What stands elsewhere than its submit says is granted with all its numbers, as careful ones are. */
const careful = <S extends RunState>(state: S): S => ({ ...state, isCareful: true })

const ended = (state: RunState, isSuccess: boolean): RunState =>
  to(isSuccess ? "Succeeded" : "Failed", state)

/** For its hooks, which are no attempt. It keeps its place of a gate. */
const left = (state: RunState): RunState => ({
  ...to("Ready", state),
  attempt: state.attempt - 1,
  isCareful: true,
})

const resume = (
  state: Of<RunState, "Suspended">,
  { isDue, places }: Of<RunEvent, "Resume">,
): RunState => {
  // A first delay is kept; one between two attempts is not, since it was put down instead.
  if (!isDue && state.fence === 0) {
    return { _tag: "Scheduled", ...numbers(state), isGated: places > 0 }
  }
  const isAdmitted = places === 0 || holdsPlace(state, places)
  return to(isAdmitted ? "Ready" : "Blocked", state)
}

const revive = (state: RunState, { isGated }: { readonly isGated: boolean }): RunState => ({
  ...to(isGated ? "Blocked" : "Ready", state),
  crashes: 0,
  isCareful: true,
})

/** What nobody was granted has done nothing. */
const rollBack = (state: RunState, event: Of<RunEvent, "RollBack">): RunState | undefined =>
  state.fence === 0 ? undefined : revive(state, event)

const reopen = (state: RunState): RunState => ({
  _tag: "Awaiting",
  ...numbers(state),
  isParent: true,
})

const lose = (state: Running, event: Of<RunEvent, "Lose">): RunState => {
  const { crashesMax, lately = Infinity } = event
  const isTooMany = (crashes: number) => Math.min(crashes, lately) > crashesMax
  if (event.concluded !== undefined) {
    // Its outcome is known, and what is left of it is no attempt.
    const crashes = state.crashes + 1
    const isOver = state.isCancelling || isTooMany(crashes)
    const left = { ...numbers(state), crashes, isCareful: true }
    return isOver
      ? { _tag: event.concluded, ...left }
      : { _tag: "Ready", ...left, attempt: state.attempt - 1 }
  }
  // Nobody knows whether user code had started, so the attempt is neither counted nor a crash;
  // from now on the start is marked, and the next loss is told apart.
  if (!state.isStartMarked) {
    return { _tag: "Ready", ...numbers(state), attempt: state.attempt - 1, isCareful: true }
  }
  if (event.isAtMostOnce) return to("Failed", state)
  const crashed = { ...numbers(state), crashes: state.crashes + 1, isCareful: true }
  return { _tag: isTooMany(crashed.crashes) ? "Quarantined" : "Ready", ...crashed }
}

/**
 * One row per state, one cell per event that the state accepts. An absent cell is a refusal, and so
 * is a cell that answers nothing.
 */
const transitions: {
  readonly [S in StateName]: {
    readonly [E in RunEvent["_tag"]]?: (
      state: Of<RunState, S>,
      event: Of<RunEvent, E>,
    ) => RunState | undefined
  }
} = {
  Scheduled: {
    // A run that was granted before already holds its place, so it need not pass the gate again.
    Due: (state) => to(state.isGated && state.fence === 0 ? "Blocked" : "Ready", state),
    Cancel: (state) => to("Cancelled", state),
    Suspend: (state) => suspended(state, state.fence > 0),
    Expire: expire,
    Change: careful,
  },
  Blocked: {
    Admit: (state) => to("Ready", state),
    Discard: (state, { fence }) => fence === undefined ? to("Discarded", state) : undefined,
    Cancel: (state) => to("Cancelled", state),
    Suspend: (state) => suspended(state, false),
    Expire: expire,
    Change: careful,
  },
  Ready: {
    Claim: (state) => ({
      _tag: "Running",
      ...numbers(state),
      attempt: state.attempt + 1,
      fence: Fence.make(state.fence + 1),
      isStartMarked: false,
      isCancelling: false,
      isSuspending: false,
    }),
    Misplace: (state) => to("Failed", state),
    Spread: (state) => ({ _tag: "Awaiting", ...numbers(state), isParent: true }),
    Cancel: (state) => to("Cancelled", state),
    Suspend: (state) => suspended(state, true),
    Expire: expire,
    Change: careful,
  },
  Running: {
    Start: (state) => ({ ...state, isStartMarked: true }),
    Succeed: (state) => to("Succeeded", state),
    Retry: (state) =>
      unlessCancelling(
        state,
        () => unlessSuspending(state, { _tag: "Scheduled", ...numbers(state), isGated: false }),
      ),
    GiveUp: (state) => unlessCancelling(state, () => to("Failed", state)),
    TimeOut: (state) => unlessCancelling(state, () => to("TimedOut", state)),
    Release: (state) =>
      unlessCancelling(state, () =>
        unlessSuspending(state, {
          _tag: "Ready",
          ...numbers(state),
          attempt: state.attempt - 1,
        })),
    // It was not begun, so its attempt is given back.
    Discard: (state, { fence }) =>
      fence === undefined ? undefined : unlessCancelling(
        state,
        () => to("Discarded", { ...state, attempt: state.attempt - 1 }),
      ),
    // It keeps its place of a gate, as between two attempts.
    Postpone: (state) =>
      unlessCancelling(state, () =>
        unlessSuspending(state, {
          _tag: "Scheduled",
          ...numbers(state),
          attempt: state.attempt - 1,
          isGated: false,
        })),
    Abort: (state) => to("Cancelled", state),
    Yield: (state) =>
      unlessCancelling(
        state,
        () => suspended({ ...state, attempt: state.attempt - 1 }, true),
      ),
    Await: (state) =>
      unlessCancelling(state, () => ({ _tag: "Awaiting", ...numbers(state), isParent: false })),
    // What carries it on may be done before its holder has said that it handed it over.
    Notify: (state, { isLeft, isSuccess }) =>
      isLeft === true
        ? left(state)
        : isSuccess
        ? ended(state, true)
        : unlessCancelling(state, () => ended(state, false)),
    Lose: (state, event) =>
      event.concluded !== undefined
        ? unlessSuspending(state, lose(state, event))
        : unlessCancelling(state, () => unlessSuspending(state, lose(state, event))),
    Cancel: (state, { isLeft }) =>
      isLeft === true ? left(state) : { ...state, isCancelling: true, isSuspending: false },
    Suspend: (state) => state.isCancelling ? undefined : { ...state, isSuspending: true },
    // A grant that was not begun in time; its attempt is given back.
    Expire: (state, { isLeft }) =>
      isLeft === true || state.isStartMarked || state.attempt > 1 ? undefined : unlessCancelling(
        state,
        () => to("Expired", { ...state, attempt: state.attempt - 1 }),
      ),
    // It counts when it waits again, which what is asked to stop does not.
    Change: (state) => state.isCancelling ? undefined : careful(state),
  },
  Awaiting: {
    Notify: (state, { isLeft, isSuccess }) =>
      state.isParent ? undefined : isLeft === true ? left(state) : ended(state, isSuccess),
    Expire: (state, { isLeft }) =>
      state.isParent ? undefined : isLeft === true ? left(state) : to("TimedOut", state),
    Gather: (state, { verdict }) => state.isParent ? to(verdict, state) : undefined,
    // A parent ends when its children have, and it is they who are cancelled.
    Cancel: (state, { isLeft }) =>
      state.isParent ? state : isLeft === true ? left(state) : to("Cancelled", state),
  },
  Suspended: {
    Resume: resume,
    Cancel: (state) => to("Cancelled", state),
    Expire: expire,
    Change: careful,
  },
  Succeeded: { RollBack: rollBack, Reopen: reopen },
  Failed: { Revive: revive, RollBack: rollBack, Reopen: reopen },
  TimedOut: { Revive: revive, RollBack: rollBack },
  Cancelled: { RollBack: rollBack },
  Discarded: { RollBack: rollBack },
  Quarantined: { Revive: revive, RollBack: rollBack },
  Expired: {},
}

export const advance = (
  state: RunState,
  event: RunEvent,
): Result.Result<RunState, RunEventRefused> => {
  // The mapped type ties each cell to its own state and event; the lookup by two runtime tags
  // loses that tie, so it is restored here, once.
  const cell = transitions[state._tag][event._tag] as
    | ((state: RunState, event: RunEvent) => RunState | undefined)
    | undefined
  const next = isFenced(state, event) || isMisled(state, event) ? undefined : cell?.(state, event)
  return next === undefined
    ? Result.fail(new RunEventRefused({ state, event }))
    : Result.succeed(next)
}

/** An executor whose grant has passed on still reports its old fence, and is turned away by it. */
const isFenced = (state: RunState, event: RunEvent): boolean =>
  "fence" in event && event.fence !== undefined && event.fence !== state.fence

/** Only what is handed over, or is about to be, may have its hooks left. */
const isMisled = (state: RunState, event: RunEvent): boolean =>
  "isLeft" in event && event.isLeft === true && state._tag !== "Running" &&
  !(state._tag === "Awaiting" && !state.isParent)

/** The state of a run as it is submitted. One with a deadline has its start marked, to be in time. */
export const submitted = (options: {
  readonly isDueLater: boolean
  readonly isGated: boolean
  readonly isAtMostOnce: boolean
  readonly hasDeadline?: boolean
}): RunState => {
  const course = { ...fresh, isCareful: options.isAtMostOnce || options.hasDeadline === true }
  if (options.isDueLater) return { _tag: "Scheduled", ...course, isGated: options.isGated }
  return { _tag: options.isGated ? "Blocked" : "Ready", ...course }
}

const fresh = { attempt: 0, crashes: 0, fence: Fence.make(0), isCareful: false }

/** The state of a run that its trigger has not let begin. */
export const submittedFailed: RunState = { _tag: "Failed", ...fresh }

/** The state of a parent as it is submitted with its children. */
export const submittedParent: RunState = { _tag: "Awaiting", ...fresh, isParent: true }

/**
 * Whether the run holds its place of a gate with so many places in this state. What is suspended
 * keeps the one place of a queue, so that nothing overtakes it, and gives back one of several.
 */
export const holdsPlace = (state: RunState, places: number): boolean => {
  switch (state._tag) {
    case "Ready":
    case "Running":
    case "Awaiting":
      return true
    case "Scheduled":
      return state.fence > 0
    case "Suspended":
      return state.isAdmitted && places === 1
    default:
      return false
  }
}

/**
 * The state that a run is in, by its history alone: each word of it is one cell of the table of
 * `Run.advance`, taken from the state that the words before it led to. A word that no state takes is
 * a history that does not hold, and throws.
 *
 * Two things are in no history. That the time of a run has come, as nobody does it: it is told by its
 * due time, and by whatever happens to it next. And of the grants that were postponed all but the last
 * (R30): a fence that is skipped before that one tells of each.
 */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Result } from "effect"
import * as Crashes from "../domain/Crashes.ts"
import { hooksLeft, ofLoss } from "../domain/Conclusion.ts"
import * as Run from "../domain/Run.ts"
import type { RunHappening } from "../domain/RunView.ts"
import type { RunId } from "../domain/RunId.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import { found } from "./world.ts"

export interface Replayed {
  readonly spec: RunSpec
  readonly history: ReadonlyArray<RunHappening>
  /** Whether its time has come, if it waits for that. */
  readonly isDue: boolean
  /** It was submitted with its children, unlike one that was spread. */
  readonly isParent?: boolean
  /** The window of its task within which crashes count. */
  readonly crashesWithinMillis?: number
  /**
   * It was made before gates and starts were told of. What it did not tell is then taken for granted
   * where it must have been, so its crashes may be told wrong.
   */
  readonly isOld?: boolean
}

export const replay = (replayed: Replayed): Run.RunState => {
  const { history, isDue, isOld, isParent, spec } = replayed
  const [submit, ...rest] = history
  if (submit?.kind !== "Submitted") throw new Error("a history begins with the submit")
  const begun = isParent === true ? Run.submittedParent : Run.submitted({
    isDueLater: spec.delayMillis > 0,
    isGated: spec.gate !== undefined,
    isAtMostOnce: spec.isAtMostOnce,
    hasDeadline: spec.deadlineMillis !== undefined,
  })
  const dueAt = DateTime.toEpochMillis(submit.at) + spec.delayMillis
  const untold: ReadonlyArray<Run.RunEvent> = isOld === true ? [due, admit] : [due]
  const postponed = rest.findLast(({ kind }) => kind === "Postponed")?.fence ?? 0
  const known = { ...replayed, dueAt, untold, postponed }
  const last = rest.reduce(
    (state, told, nth) =>
      told.kind === "Revived" && rest[nth - 1]?.kind === "RollbackAsked"
        ? state
        : after(forgotten(state, told, known), told, known),
    begun as Run.RunState,
  )
  return isDue ? advanced(last, due) ?? last : last
}

interface Known extends Replayed {
  readonly dueAt: number
  readonly untold: ReadonlyArray<Run.RunEvent>
  /** The fence of the last grant that was postponed. */
  readonly postponed: number
}

const due: Run.RunEvent = { _tag: "Due" }
const admit: Run.RunEvent = { _tag: "Admit" }

/** These change nothing, or say why what comes next does. */
const silent = new Set([
  "Asked",
  "Placed",
  "LevelSet",
  "DeadlineSet",
  "LateReport",
  "Notified",
  "Replaced",
])

const after = (state: Run.RunState, told: RunHappening, known: Known): Run.RunState => {
  if (silent.has(told.kind) && told.detail !== hooksLeft) return state
  const next = Run.isFinal(told.kind)
    ? ended(state, told, known)
    : firstOf(state, known.untold, eventOf(state, told, known))
  if (next === undefined || next.fence !== told.fence) {
    const { _tag, attempt, fence } = next ?? state
    throw new Error(`${told.kind} ${told.attempt}/${told.fence} of ${_tag} ${attempt}/${fence}`)
  }
  return next
}

/** The state after the grants before `told` that were postponed and are not told of. */
const forgotten = (state: Run.RunState, told: RunHappening, known: Known): Run.RunState => {
  const until = told.kind === "Claimed" ? told.fence - 1 : told.fence
  if (until <= state.fence || until >= known.postponed) return state
  const granted = firstOf(state, known.untold, { _tag: "Claim" })
  const left = granted && advanced(granted, { _tag: "Postpone", fence: granted.fence })
  return left === undefined ? state : forgotten(left, told, known)
}

/** Where the event leads to; nothing that was not told comes before it, unless it must have. */
const firstOf = (
  state: Run.RunState,
  untold: ReadonlyArray<Run.RunEvent>,
  event: Run.RunEvent,
): Run.RunState | undefined => {
  const next = advanced(state, event)
  if (next !== undefined) return next
  for (const before of untold) {
    const moved = advanced(state, before)
    if (moved !== undefined) return firstOf(moved, untold, event)
  }
  return undefined
}

/** What ends a run is told by the end alone: all that may lead there from where it is agree on it. */
const ended = (
  state: Run.RunState,
  { kind }: RunHappening,
  { spec, untold }: Known,
): Run.RunState | undefined => {
  // A loss ends a run by itself, and is told besides.
  if (state._tag === kind) return state
  const ends = endsOf(state, spec)
    .flatMap((event) => firstOf(state, untold, event) ?? [])
    .filter(({ _tag }) => _tag === kind)
  if (new Set(ends.map((end) => JSON.stringify(end))).size > 1) {
    throw new Error(`${kind} may be several things of ${JSON.stringify(state)}`)
  }
  return ends[0]
}

const endsOf = ({ fence }: Run.RunState, spec: RunSpec): ReadonlyArray<Run.RunEvent> => [
  { _tag: "Succeed", fence },
  { _tag: "GiveUp", fence },
  { _tag: "TimeOut", fence },
  { _tag: "Abort", fence },
  { _tag: "Discard", fence },
  // A report of one that was asked to stop ends it as well.
  { _tag: "Retry", fence },
  { _tag: "Notify", isSuccess: true },
  { _tag: "Notify", isSuccess: false },
  { _tag: "Gather", verdict: "Succeeded" },
  { _tag: "Gather", verdict: "Failed" },
  { _tag: "Gather", verdict: "Cancelled" },
  ...(spec.gate === undefined ? [{ _tag: "Misplace" } as const] : []),
  { _tag: "Cancel" },
  { _tag: "Discard" },
  { _tag: "Expire" },
]

const advanced = (state: Run.RunState, event: Run.RunEvent): Run.RunState | undefined => {
  const next = Run.advance(state, event)
  return Result.isSuccess(next) ? next.success : undefined
}

/** How many losses count with the one at `at`, if its task has a window. */
const latelyOf = ({ crashesWithinMillis, history }: Known, at: DateTime.Utc) => {
  if (crashesWithinMillis === undefined) return {}
  const before = history.map((each) => ({ kind: each.kind, at: DateTime.toEpochMillis(each.at) }))
    .filter((each) => each.at < DateTime.toEpochMillis(at))
  return { lately: Crashes.lately(before, DateTime.toEpochMillis(at), crashesWithinMillis) }
}

const concludedOf = (detail = "") => {
  const concluded = ofLoss(detail)
  return concluded === undefined ? {} : { concluded }
}

/** What is behind a word of the history. */
const eventOf = (
  { fence }: Run.RunState,
  { at, detail, kind }: RunHappening,
  known: Known,
): Run.RunEvent => {
  const { dueAt, spec } = known
  const left = detail === hooksLeft && { isLeft: true }
  switch (kind) {
    case "Admitted":
      return admit
    case "Spread":
      return { _tag: "Spread" }
    case "Claimed":
      return { _tag: "Claim" }
    case "Started":
      return { _tag: "Start", fence }
    case "Retried":
      return { _tag: "Retry", fence }
    case "Released":
      return { _tag: "Release", fence }
    case "Postponed":
      return { _tag: "Postpone", fence }
    case "Yielded":
      return { _tag: "Yield", fence }
    case "Awaited":
      return { _tag: "Await", fence }
    case "Lost":
      return {
        _tag: "Lose",
        crashesMax: spec.crashesMax,
        isAtMostOnce: spec.isAtMostOnce,
        ...latelyOf(known, at),
        ...concludedOf(detail),
      }
    case "CancelAsked":
      return { _tag: "Cancel", ...left }
    // Without hooks the end alone tells of it.
    case "Notified":
      return { _tag: "Notify", isSuccess: true, ...left }
    case "Unnotified":
      return { _tag: "Expire", ...left }
    case "SuspendAsked":
    case "Suspended":
      return { _tag: "Suspend" }
    case "Resumed":
      return {
        _tag: "Resume",
        isDue: DateTime.toEpochMillis(at) >= dueAt,
        places: spec.gate?.places ?? 0,
      }
    case "RollbackAsked":
      return { _tag: "RollBack", isGated: spec.gate !== undefined }
    case "Revived":
      return { _tag: "Revive", isGated: spec.gate !== undefined }
    case "Reopened":
      return { _tag: "Reopen" }
    default:
      throw new Error(`nothing is known of ${kind}`)
  }
}

/** The history of the run, as it was submitted, leads to the state that the storage shows. */
export const assertReplayed = Effect.fnUntraced(function* (
  run: RunId,
  spec: RunSpec,
  how: Pick<Replayed, "isParent" | "crashesWithinMillis"> = {},
) {
  const { now, runs } = yield* Storage
  const { attempt, crashes, dueAt, fence, isCancelling, isSuspending, state } = yield* found(run)
  const history = yield* runs.events(run)
  const told = history.map(({ attempt, fence, kind }) => `${kind} ${attempt}/${fence}`).join(", ")
  const isDue = DateTime.toEpochMillis(dueAt) <= (yield* now)
  const reached = yield* Effect.try({
    try: () => replay({ spec, history, isDue, ...how }),
    catch: (cause) => new Error(`${(cause as Error).message}, in ${told}`),
  })
  assert.deepStrictEqual(
    {
      state: reached._tag,
      attempt: reached.attempt,
      crashes: reached.crashes,
      fence: reached.fence,
      isCancelling: reached._tag === "Running" && reached.isCancelling,
      isSuspending: reached._tag === "Running" && reached.isSuspending,
    },
    {
      state,
      attempt,
      crashes,
      fence,
      isCancelling: isCancelling === true,
      isSuspending: isSuspending === true,
    },
    told,
  )
})

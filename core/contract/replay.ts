/**
 * What a run has come to, by its history alone. Of its state each word is one cell of the table
 * of `Run.advance`, taken from the state that the words before it led to. A word that no state takes is
 * a history that does not hold, and throws.
 *
 * Two things are in no history. That the time of a run has come, as nobody does it: it is told by its
 * due time, and by whatever happens to it next. And of the grants that were postponed all but the last
 * (R30): a fence that is skipped before that one tells of each.
 */
import { DateTime, Result } from "effect"
import type { Gate } from "../domain/Blocking.ts"
import * as Crashes from "../domain/Crashes.ts"
import { hooksLeft, ofLoss } from "../domain/Conclusion.ts"
import * as Lane from "../domain/Lane.ts"
import * as Run from "../domain/Run.ts"
import type { RunHappening } from "../domain/RunView.ts"

/** What of its submit says how a run may go on. */
export interface Submit {
  readonly delayMillis: number
  readonly gate: Pick<Gate, "places"> | undefined
  readonly isAtMostOnce: boolean
  readonly crashesMax: number
  readonly deadlineMillis?: number | undefined
  /** It is for one executor, of its own or as it is placed, of whom there may be none. */
  readonly isPlaced?: boolean
}

export interface Replayed {
  readonly spec: Submit
  readonly history: ReadonlyArray<RunHappening>
  /** Whether its time has come, if it waits for that. */
  readonly isDue: boolean
  /** It was submitted with its children, unlike one that was spread. */
  readonly isParent?: boolean
  /** Its trigger has not let it begin. */
  readonly isHeldUp?: boolean
  /** The window of its task within which crashes count. */
  readonly crashesWithinMillis?: number
  /**
   * It was made before gates and starts were told of. What it did not tell is then taken for granted
   * where it must have been, so its crashes may be told wrong.
   */
  readonly isOld?: boolean
}

export const replay = (replayed: Replayed): Run.RunState => {
  const { history, isDue, isHeldUp, isOld, isParent, spec } = replayed
  const [submit, ...rest] = history
  if (submit?.kind !== "Submitted") throw new Error("a history begins with the submit")
  const begun = isParent === true
    ? Run.submittedParent
    : isHeldUp === true
    ? Run.submittedFailed
    : Run.submitted({
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
      isSilent(told) || told.kind === "Revived" && rest[nth - 1]?.kind === "RollbackAsked"
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

/** A late report may be told before the grant that it is of, which is told when that has ended. */
const isSilent = ({ detail, kind }: RunHappening): boolean =>
  silent.has(kind) && detail !== hooksLeft

const after = (state: Run.RunState, told: RunHappening, known: Known): Run.RunState => {
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

const endsOf = ({ fence }: Run.RunState, spec: Submit): ReadonlyArray<Run.RunEvent> => [
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
  ...(spec.isPlaced === true ? [{ _tag: "Misplace" } as const] : []),
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

/** The level that a run has which was submitted with another: each that it got came after the one before. */
export const levelOf = (submitted: Lane.Level, history: ReadonlyArray<RunHappening>): Lane.Level =>
  history.filter(({ kind }) => kind === "LevelSet").reduce((level: Lane.Level, { detail }) => {
    const to = Lane.levels.find((to) => Lane.levelSet(level, to) === detail)
    if (to === undefined) throw new Error(`${detail} of level ${level}`)
    return to
  }, submitted)

/**
 * Each deadline that a run has had whose deadline was changed, the one of its submit first; `undefined`: it
 * had none. Each came after the one before.
 */
export const deadlinesOf = (
  history: ReadonlyArray<RunHappening>,
): ReadonlyArray<number | undefined> => {
  const all: Array<number | undefined> = []
  for (const { detail, kind } of history) {
    if (kind !== "DeadlineSet") continue
    const [from, to] = detail!.split(" → ").map((said) =>
      said === "none" ? undefined : Date.parse(said)
    )
    if (all.length > 0 && all.at(-1) !== from) throw new Error(`${detail} after ${all.at(-1)}`)
    all.push(...(all.length === 0 ? [from] : []), to)
  }
  return all
}

/**
 * The states that a run may be in, by its history alone.
 *
 * What happens to every run is not written down (a claim that was followed by another event, a start
 * that was marked, a gate that was passed, a first due time), so what is told leads to a few states
 * rather than to one. Every one of them is reached from the submit through `Run.advance`.
 */
import { Result } from "effect"
import * as Run from "../domain/Run.ts"
import type { RunHappening } from "../domain/RunView.ts"
import type { RunSpec } from "../services/RunStorage.ts"

type States = ReadonlyArray<Run.RunState>

export const replay = (spec: RunSpec, history: ReadonlyArray<RunHappening>): States => {
  const begun = Run.submitted({
    isDueLater: spec.delayMillis > 0,
    isGated: spec.gate !== undefined,
    isAtMostOnce: spec.isAtMostOnce,
    hasDeadline: spec.deadlineMillis !== undefined,
  })
  const told = history.filter(({ kind }) => !untold.has(kind))
  const states = told.reduce((states, each) => after(states, each, spec), [begun] as States)
  return withSilent(states, silent)
}

/** The submit is where it begins, and a late report changes nothing. */
const untold = new Set(["Submitted", "LateReport"])

const after = (states: States, { fence, kind }: RunHappening, spec: RunSpec): States => {
  const before = withSilent(states, [...silent, { _tag: "Claim" }])
    .filter((state) => state.fence === fence)
  if (kind === "Claimed") return before
  const byEnds = (from: States) =>
    from.flatMap((state) => next(state, endsOf(state, spec)))
      .filter(({ _tag }) => Run.isFinal(_tag))
  if (Run.isFinal(kind as Run.StateName)) {
    return distinct([...before, ...byEnds(before)]).filter(({ _tag }) => _tag === kind)
  }
  // The end that somebody revived it from is not told of any more.
  const from = kind === "Revived" ? [...before, ...byEnds(before)] : before
  return distinct(from.flatMap((state) => next(state, eventsOf(kind, state, spec))))
}

const silent: ReadonlyArray<Run.RunEvent> = [{ _tag: "Due" }, { _tag: "Admit" }]

/** Those, and what they become by events that nobody writes down. */
const withSilent = (states: States, events: ReadonlyArray<Run.RunEvent>): States => {
  const more = distinct([
    ...states,
    ...states.flatMap((state) => next(state, [...events, { _tag: "Start", fence: state.fence }])),
  ])
  return more.length === states.length ? more : withSilent(more, events)
}

const next = (state: Run.RunState, events: ReadonlyArray<Run.RunEvent>): States =>
  events.flatMap((event) => {
    const advanced = Run.advance(state, event)
    return Result.isSuccess(advanced) ? [advanced.success] : []
  })

const distinct = (states: States): States => [
  ...new Map(states.map((state) => [JSON.stringify(state), state])).values(),
]

const lose = ({ crashesMax, isAtMostOnce }: RunSpec): Run.RunEvent => ({
  _tag: "Lose",
  crashesMax,
  isAtMostOnce,
})
const notices: ReadonlyArray<Run.RunEvent> = [
  { _tag: "Notify", isSuccess: true },
  { _tag: "Notify", isSuccess: false },
]

const reports = ({ fence }: Run.RunState): ReadonlyArray<Run.RunEvent> => [
  { _tag: "Succeed", fence },
  { _tag: "Retry", fence },
  { _tag: "GiveUp", fence },
  { _tag: "TimeOut", fence },
  { _tag: "Release", fence },
  { _tag: "Postpone", fence },
  { _tag: "Abort", fence },
  { _tag: "Discard", fence },
  { _tag: "Yield", fence },
  { _tag: "Await", fence },
]

/** Whatever may end a run. */
const endsOf = (state: Run.RunState, spec: RunSpec): ReadonlyArray<Run.RunEvent> => [
  ...reports(state),
  ...notices,
  lose(spec),
  { _tag: "Cancel" },
  { _tag: "Discard" },
  { _tag: "Expire" },
]

/** What is behind a word of the history. */
const eventsOf = (
  kind: string,
  { fence }: Run.RunState,
  spec: RunSpec,
): ReadonlyArray<Run.RunEvent> => {
  const places = spec.gate?.places ?? 0
  switch (kind) {
    case "Retried":
      return [{ _tag: "Retry", fence }]
    case "Released":
      return [{ _tag: "Release", fence }]
    case "Postponed":
      return [{ _tag: "Postpone", fence }]
    case "Yielded":
      return [{ _tag: "Yield", fence }]
    case "Awaited":
      return [{ _tag: "Await", fence }]
    case "Lost":
      return [lose(spec)]
    case "CancelAsked":
      return [{ _tag: "Cancel" }]
    case "SuspendAsked":
    case "Suspended":
      return [{ _tag: "Suspend" }]
    case "Resumed":
      return [{ _tag: "Resume", isDue: true, places }, { _tag: "Resume", isDue: false, places }]
    case "Notified":
      return notices
    case "Revived":
      return [{ _tag: "Revive", isGated: spec.gate !== undefined }]
    default:
      return []
  }
}

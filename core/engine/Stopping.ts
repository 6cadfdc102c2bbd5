/**
 * How an attempt is being stopped: one state, and what becomes of it.
 *
 * ```text
 * Going ──▶ Stopped ──▶ Finishing ──▶ Left
 *              │ ▲
 *              ▼ │ handed over with hooks left: until that mark is answered
 *            Marking
 * ```
 *
 * 1. While its work goes on the first order counts. What is being put down may still be stopped; to give it
 *    back would forget that it was asked.
 * 2. Once its outcome is known, and while a hand-over is marked, an order to stop comes too late. To give it
 *    back, or to abandon it, does not: the rest is then for somebody else.
 * 3. It leaves by itself only if nobody has stopped it.
 */
import type * as GivenBack from "../domain/GivenBack.ts"
import type { RunId } from "../domain/RunId.ts"

/** Why an attempt is being interrupted. */
export type Stop =
  /** `by`: the run that has come in its place. */
  | { readonly _tag: "Cancel"; readonly by?: RunId }
  | { readonly _tag: "Suspend" }
  | { readonly _tag: "HandOver" }
  | { readonly _tag: "GiveBack"; readonly why: GivenBack.Why }
  | { readonly _tag: "Postpone" }
  /** Somebody else has the run, or soon: nothing is reported. */
  | { readonly _tag: "Abandon" }

export type Stopping =
  | { readonly _tag: "Going" }
  | { readonly _tag: "Stopped"; readonly stop: Stop }
  /** `isLeft`: it was to be given back meanwhile; `isLost`: it was abandoned. */
  | { readonly _tag: "Marking"; readonly isLeft: boolean; readonly isLost: boolean }
  /** Its outcome is known, and its hooks go on. */
  | { readonly _tag: "Finishing"; readonly stop?: Stop }
  /** Stopped after its outcome was known. */
  | { readonly _tag: "Left"; readonly stop: Stop }

export type Event =
  /** From outside. */
  | { readonly _tag: "Ordered"; readonly stop: Stop }
  /** From within. */
  | { readonly _tag: "Leaving"; readonly stop: Stop }
  /** That it is handed over is being marked. */
  | { readonly _tag: "Marking" }
  | { readonly _tag: "Marked" }
  | { readonly _tag: "Refused" }
  /** What became of it is known. */
  | { readonly _tag: "Known" }
  /** It has ended by itself: why it was to stop counts no more. */
  | { readonly _tag: "Ended" }

export const going: Stopping = { _tag: "Going" }
export const cancel: Stop = { _tag: "Cancel" }
export const suspend: Stop = { _tag: "Suspend" }
export const handOver: Stop = { _tag: "HandOver" }
export const postpone: Stop = { _tag: "Postpone" }
export const abandon: Stop = { _tag: "Abandon" }
export const giveBack = (why: GivenBack.Why): Stop => ({ _tag: "GiveBack", why })

/** Why it is to stop, if it is. */
export const stopOf = (state: Stopping): Stop | undefined =>
  state._tag === "Going"
    ? undefined
    : state._tag !== "Marking"
    ? state.stop
    : state.isLost
    ? abandon
    : handOver

export const isStoppedBy = (state: Stopping, stop: Stop["_tag"]): boolean =>
  stopOf(state)?._tag === stop

/** Whether an order to do that is not too late. */
export const hears = ({ _tag }: Stopping, stop: Stop): boolean =>
  _tag === "Going" || _tag === "Stopped" || isForOthers(stop)

const isForOthers = ({ _tag }: Stop): boolean => _tag === "GiveBack" || _tag === "Abandon"

/** What does not belong to a state leaves it as it is. */
export const advance = (state: Stopping, event: Event): Stopping => {
  switch (event._tag) {
    case "Ordered":
      return hears(state, event.stop) ? ordered(state, event.stop) : state
    case "Leaving":
      if (state._tag === "Going") return { _tag: "Stopped", stop: event.stop }
      return state._tag === "Finishing" && state.stop === undefined
        ? { ...state, stop: event.stop }
        : state
    case "Marking":
      return state._tag === "Stopped" && state.stop._tag === "HandOver"
        ? { _tag: "Marking", isLeft: false, isLost: false }
        : state
    // Also where it was abandoned meanwhile: it was ours when it was marked.
    case "Marked":
      return state._tag === "Marking" ? { _tag: "Stopped", stop: handOver } : state
    // After a shutdown, or a loss at one, that says nothing: whoever has the run next cleans.
    case "Refused":
      if (state._tag !== "Marking") return state
      return { _tag: state.isLeft && state.isLost ? "Left" : "Stopped", stop: stopOf(state)! }
    case "Known":
      if (state._tag === "Going") return { _tag: "Finishing" }
      return state._tag === "Stopped" ? { ...state, _tag: "Finishing" } : state
    case "Ended":
      if (state._tag === "Marking") return state
      return state._tag === "Finishing" || state._tag === "Left" ? { _tag: "Finishing" } : going
  }
}

const ordered = (state: Stopping, stop: Stop): Stopping => {
  switch (state._tag) {
    case "Going":
      return { _tag: "Stopped", stop }
    case "Stopped":
      return state.stop._tag === "Suspend" && stop._tag !== "GiveBack" ? { ...state, stop } : state
    case "Marking":
      return stop._tag === "GiveBack" ? { ...state, isLeft: true } : { ...state, isLost: true }
    case "Finishing":
    case "Left":
      return { _tag: "Left", stop }
  }
}

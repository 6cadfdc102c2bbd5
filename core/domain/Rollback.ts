/**
 * A rollback on demand. What has ended goes on as a run that has failed and is to be rolled back, and
 * ends as `RolledBack`, or as `RollbackFailed`, of which somebody may ask again.
 *
 * That it was asked for stands in what it fails with, as its cause. So whoever gets the run next knows it
 * by its conclusion, and whoever looks at how it has ended knows what there is left to ask for.
 */
import { Result } from "effect"
import type { Conclusion } from "./Conclusion.ts"
import * as Run from "./Run.ts"
import type { Failure } from "./RunView.ts"

/** Who asks, and why. */
export interface Demand {
  readonly by?: string | undefined
  readonly note?: string | undefined
}

const tags = { asked: "RollbackAsked", done: "RolledBack", failed: "RollbackFailed" } as const

/** What the hook is told that it comes after. */
export const asked = ({ by, note }: Demand): Failure => ({
  tag: tags.asked,
  message: `${by ?? "somebody"} asked for it to be rolled back` +
    (note === undefined || note === "" ? "" : `: ${note}`),
})

/** That it was asked for, if it was. */
export const askedOf = (failure: Failure | undefined): Failure | undefined =>
  failure?.causes?.find(({ tag }) => tag === tags.asked)

/** How the run ends unless somebody comes to the end of it. `result`: what it had succeeded with. */
export const conclusion = (asked: Failure, result: string | undefined): Conclusion => ({
  state: "Failed",
  phase: "rollingBack",
  ...(result !== undefined && { result }),
  failure: {
    tag: tags.failed,
    message: `nobody has come to the end of it: ${asked.message}`,
    causes: [asked],
  },
})

export const done = (asked: Failure): Failure => ({
  tag: tags.done,
  message: asked.message,
  causes: [asked],
})

/** Of a run that was to be rolled back after `before`. */
export const failed = (before: Failure, why: Failure): Failure => ({
  ...why,
  tag: tags.failed,
  message: `${why.message}; it was to be rolled back after ${before.tag}: ${before.message}`
    .slice(0, 4096),
  ...(before.tag === tags.asked && { causes: [before, ...(why.causes ?? []).slice(0, 7)] }),
})

/** Nobody can undo what the task does not say how to. */
export const missing: Failure = {
  tag: tags.failed,
  message: "the task has no rollback in the code of this executor",
}

export type Answer = "confirmed" | "refused" | "parent" | "unbegun" | "untold"

/** A run of which somebody asks that it be rolled back. */
export interface Asking {
  readonly state: Run.RunState
  /** As it has ended. */
  readonly failure: Failure | undefined
  readonly conclusion: Conclusion | undefined
  readonly hasChildren: boolean
  readonly isGated: boolean
  /** Whether somebody is yet to be told how it has ended. */
  readonly isUntold: () => boolean
}

/**
 * Why nothing is to be done, if so. `confirmed`: it is being rolled back already, or was. `untold`: what
 * follows its success would follow one that is none any more, without its result.
 */
export const answer = (
  { conclusion, failure, hasChildren, isGated, isUntold, state }: Asking,
): Answer | undefined => {
  if (hasChildren) return "parent"
  if (!Run.isFinal(state._tag)) {
    return askedOf(conclusion?.failure) === undefined ? "refused" : "confirmed"
  }
  if (failure?.tag === tags.done && askedOf(failure) !== undefined) return "confirmed"
  if (Result.isFailure(Run.advance(state, { _tag: "RollBack", isGated }))) return "unbegun"
  return state._tag === "Succeeded" && isUntold() ? "untold" : undefined
}

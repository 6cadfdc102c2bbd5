/**
 * What an operator may have otherwise of a run: its level, for where it waits or will wait again, and the
 * deadline of one that was never granted. Each change makes another revision of the run, so that nobody
 * changes what somebody else has changed meanwhile without having seen it.
 */
import * as Lane from "./Lane.ts"

export interface Change {
  readonly level?: Lane.Level | undefined
  /** So long after now; `null`: it has none any more. */
  readonly deadlineMillis?: number | null | undefined
  /** Only if the run is at this one. */
  readonly revision?: number | undefined
  readonly by?: string | undefined
}

/** Of a run that nobody has changed. */
export const firstRevision = 1

/** What of a run decides about its change. */
export interface Changing {
  /** Of its last grant; nought: there was none. */
  readonly fence: number
  readonly deadlineAt: number | undefined
  readonly revision: number
}

/**
 * Why a run that could be is not changed, if so. `begun`: it was granted, and whoever had it may have begun
 * it, so it is too late to say by when somebody must. `late`: its deadline has passed.
 */
export const refused = (
  now: number,
  { deadlineAt, fence, revision }: Changing,
  change: Change,
): "stale" | "begun" | "late" | undefined => {
  if (change.revision !== undefined && change.revision !== revision) return "stale"
  if (change.deadlineMillis === undefined) return undefined
  if (fence > 0) return "begun"
  return deadlineAt !== undefined && deadlineAt <= now ? "late" : undefined
}

/** The deadline of the run from now on. */
export const deadlineOf = (
  now: number,
  { deadlineAt }: Pick<Changing, "deadlineAt">,
  { deadlineMillis }: Change,
): number | undefined =>
  deadlineMillis === undefined
    ? deadlineAt
    : deadlineMillis === null
    ? undefined
    : now + deadlineMillis

const instant = (at: number | undefined): string =>
  at === undefined ? "none" : new Date(at).toISOString()

/** What its events say of it, by kind. */
export const said = (
  before: { readonly level: Lane.Level; readonly deadlineAt: number | undefined },
  after: { readonly level: Lane.Level; readonly deadlineAt: number | undefined },
  { deadlineMillis, level }: Change,
): ReadonlyArray<readonly [kind: string, detail: string]> => [
  ...(level === undefined ? [] : [["LevelSet", Lane.levelSet(before.level, after.level)] as const]),
  ...(deadlineMillis === undefined
    ? []
    : [["DeadlineSet", `${instant(before.deadlineAt)} → ${instant(after.deadlineAt)}`] as const]),
]

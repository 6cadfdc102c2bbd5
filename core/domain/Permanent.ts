/**
 * When a permanent task has its next run: some time after the end of the last one, and the longer the
 * more of them ended soon after they had begun.
 *
 * It follows from rows alone. Whoever asks comes to the same instant, which is the slot; so however
 * many ask at once, the uniqueness of slots lets one of them start the run, and no second is alive.
 */
import type { Schedule } from "./Trigger.ts"

export type Permanent = Extract<Schedule, { readonly _tag: "Permanent" }>

/** What is not named is so. */
export const usual: Permanent = {
  _tag: "Permanent",
  delayMillis: 1000,
  growth: 2,
  delayMaxMillis: 300_000,
  steadyMillis: 60_000,
}

/** Of so many runs is remembered how long they lived. */
export const remembered = 16

/** A run of it that has ended. */
export interface Life {
  readonly slot: number
  /** From its last claim to its end. */
  readonly livedMillis: number
}

/**
 * The delay after `soon` runs in a row that ended soon; the first one after a steady run too. What bounds its
 * growth makes it no shorter than it is to be.
 */
const delayAfter = (permanent: Permanent, soon: number): number =>
  Math.min(
    Math.max(permanent.delayMaxMillis, permanent.delayMillis),
    Math.ceil(permanent.delayMillis * permanent.growth ** Math.max(0, soon - 1)),
  )

/**
 * The slot of its next run. `lives` are its latest runs, the latest first, of which the first ended
 * at `endedAt`; `from` is the instant since which it is to be alive.
 */
export const next = (
  permanent: Permanent,
  from: number,
  lives: ReadonlyArray<Life>,
  endedAt: number,
): number => {
  const last = lives[0]
  if (last === undefined) return from
  const steady = lives.findIndex(({ livedMillis }) => livedMillis >= permanent.steadyMillis)
  const soon = steady === -1 ? lives.length : steady
  return Math.max(from, last.slot + 1, endedAt + delayAfter(permanent, soon))
}

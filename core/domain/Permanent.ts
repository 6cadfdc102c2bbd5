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

/** Of so many runs is remembered when they were started. */
export const remembered = 16

/** The delay after the last of `soon` runs in a row that ended soon; `0` for one that did not. */
export const delayAfter = (permanent: Permanent, soon: number): number =>
  Math.min(
    permanent.delayMaxMillis,
    Math.ceil(permanent.delayMillis * permanent.growth ** Math.max(0, soon - 1)),
  )

/**
 * The slot of its next run. `fired` are the slots of the latest runs, the latest first, of which the
 * first ended at `endedAt`; `from` is the instant since which it is to be alive.
 */
export const next = (
  permanent: Permanent,
  from: number,
  fired: ReadonlyArray<number>,
  endedAt: number,
): number => {
  const last = fired[0]
  if (last === undefined) return from
  let soon = 0
  for (let at = fired.length - 1; at >= 0; at--) {
    // The run after it was started when it had ended, and then the delay had passed.
    const ended = at === 0 ? endedAt : fired[at - 1]! - delayAfter(permanent, soon + 1)
    soon = ended - fired[at]! >= permanent.steadyMillis ? 0 : soon + 1
  }
  return Math.max(from, last + 1, endedAt + delayAfter(permanent, soon))
}

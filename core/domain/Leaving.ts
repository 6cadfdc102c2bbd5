/**
 * When it is worth the while to look again for what may leave by its age.
 *
 * A pass over everything costs as much as there is, and mostly finds nothing. One that took nothing knows
 * when the first of all that it has seen may leave, and what is written after it is younger still: until
 * then, and unless a task was defined anew, another one would be in vain. But for what was moved here with
 * its age, and for a trigger that was put for a task of a shorter class: for their sake there is one now
 * and then.
 */

/** What a pass has come to, by the storage clock. */
export interface Pass extends Beginning {
  /** The first instant at which anything that it has seen may leave. */
  readonly soonest: number
  readonly taken: number
}

/** As it is before a pass. */
export interface Beginning {
  readonly now: number
  /** Of all tasks together: it rises whenever one is defined otherwise, and the class may be another. */
  readonly revisions: number
}

/** From one instant up to another there is no need to look. */
export interface Rest {
  readonly from: number
  readonly until: number
  readonly revisions: number
}

const mostMillis = 15 * 60_000

export const begin = (beginning: Beginning): Pass => ({
  ...beginning,
  soonest: Infinity,
  taken: 0,
})

/** None after a pass that took something: of what that left nobody knows how old it is. */
export const restAfter = ({ now, revisions, soonest, taken }: Pass): Rest | undefined =>
  taken > 0 ? undefined : { from: now, until: Math.min(soonest, now + mostMillis), revisions }

/** Not before it began either: the clock was set back, and nobody knows by what it was told. */
export const isResting = (rest: Rest | undefined, { now, revisions }: Beginning): boolean =>
  rest !== undefined && revisions === rest.revisions && now >= rest.from && now < rest.until

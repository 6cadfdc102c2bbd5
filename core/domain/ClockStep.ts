/**
 * A step of a clock that somebody set, or whose machine slept.
 *
 * Leases are judged by such a clock. A step of an hour forward would end them all at once, one back
 * would keep the dead for an hour. So a storage compares its clock with one that cannot be set, and
 * after a step every lease keeps what was left of it before.
 */

/** One look at a clock that can be set. All in milliseconds. */
export interface Sighting {
  /** What it said, since 1970. */
  readonly said: number
  /** When, by a clock that cannot be set. */
  readonly at: number
  /** `at` is right to this: half of the time that the answer took. */
  readonly error: number
}

/** Both clocks go alike, but for steps; to differ by less is none. */
export const noticedMillis = 500

/** By how much the clock was set from one sighting to the next: 0 when it was not. */
export const between = (earlier: Sighting, later: Sighting): number => {
  const step = later.said - expected(earlier, later.at)
  return Math.abs(step) > noticedMillis + earlier.error + later.error ? step : 0
}

/** What the clock says at `at`, unless it was set since it was seen. */
export const expected = (seen: Sighting, at: number): number => seen.said + at - seen.at

/**
 * How many queued jobs does one process claim and complete durably in a second?
 *
 * The jobs do nothing and carry 100 bytes. The clock runs from the start of the workers until the
 * store holds no unfinished job. With several lanes, jobs alternate over lanes and levels, and one
 * process serves them all.
 */
import type { Load } from "../System.ts"

export const levels = 3

export const loads = (
  jobs: number,
  lanes: ReadonlyArray<number>,
): ReadonlyArray<Load> =>
  lanes.map((count) => ({
    jobs,
    lanes: count,
    levels: count === 1 ? 1 : levels,
  }))

/**
 * What does a blocking policy cost? Jobs that must run one after another within their key, or at
 * most n at a time, are drained as in `claims`; the witness checks that they did.
 *
 * With one fifo key every job waits for the commit of the one before it, so the rate is that of two
 * commits; with 10,000 keys there is always something to do and the rate is the price of the
 * bookkeeping. Few keys get fewer jobs: rates are rates.
 */
import type { Blocking, Load } from "../System.ts"

export const remarks: ReadonlyArray<string> = [
  "fifo compares like with like in every system: one job of a key at a time, in order of submission",
  "concurrent(n): pg-boss counts active jobs of a group on every fetch and promises no order; it may pass the limit when workers fetch at once",
  "pg-boss under a blocking policy: one worker that notifies itself after each batch, ids in order of submission (jobs of one insert share created_on, and the id decides)",
]

const jobsFor = (jobs: number, { keys }: Blocking): number =>
  Math.max(
    100,
    keys,
    keys === 1 ? Math.floor(jobs / 20) : keys <= 100 ? Math.floor(jobs / 2) : jobs,
  )

export const loads = (
  jobs: number,
  keys: ReadonlyArray<number>,
  places: number,
): ReadonlyArray<Load> => {
  const policies: ReadonlyArray<Blocking> = [
    ...keys.map((keys): Blocking => ({ policy: "fifo", keys })),
    ...keys.filter((keys) => keys <= 100).map((keys): Blocking => ({
      policy: "concurrent",
      keys,
      places,
    })),
  ]
  return [
    // What the policies cost is told by what the same jobs take without any.
    { jobs, lanes: 1, levels: 1 },
    ...policies.map((blocking) => ({
      jobs: jobsFor(jobs, blocking),
      lanes: 1,
      levels: 1,
      blocking,
    })),
  ]
}

/** When it is too late to begin a run: as somebody said, or by the policy of its task. */
import type { Duration } from "effect"
import * as Delay from "./Delay.ts"
import type { Policy } from "./Policy.ts"
import { Refused } from "./Refused.ts"

/** By the policy: how long after now it is, for a run that is due so long after now. */
export const after = (
  { deadlineMillis }: Pick<Policy, "deadlineMillis">,
  delayMillis: number,
): number | undefined => deadlineMillis === undefined ? undefined : delayMillis + deadlineMillis

const wanted = {
  field: "deadline",
  millisMin: 1,
  words: "Use more than nothing and at most 366 days, or none",
}

/** What is wrong with one that somebody named for a run that is due after `delay`, if anything is. */
export const flaw = (deadline: Duration.Input, delay: Duration.Input = 0): Refused | undefined => {
  const wrong = Delay.flaw(deadline, wanted)
  if (wrong !== undefined) return wrong
  const [millis, dueMillis] = [Delay.millisOf(deadline), Delay.millisOf(delay)]
  return millis > dueMillis ? undefined : new Refused({
    field: wanted.field,
    reason: `it is ${millis} ms from now, and the run is due in ${dueMillis} ms`,
    remedy: "Use one that comes after the delay, or none",
  })
}

/** When it is too late to begin a run: as somebody said, or by the policy of its task. */
import { Duration } from "effect"
import type { Policy } from "./Policy.ts"
import { Refused } from "./Refused.ts"

/** By the policy: how long after now it is, for a run that is due so long after now. */
export const after = (
  { deadlineMillis }: Pick<Policy, "deadlineMillis">,
  delayMillis: number,
): number | undefined => deadlineMillis === undefined ? undefined : delayMillis + deadlineMillis

const millisMax = 366 * 86_400_000

/** What is wrong with one that somebody named, if anything is. */
export const flaw = (deadline: Duration.Input): Refused | undefined => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(deadline))
  return millis > 0 && millis <= millisMax ? undefined : new Refused({
    field: "deadline",
    reason: `it is ${millis} ms from now`,
    remedy: "Use more than nothing and at most 366 days, or none",
  })
}

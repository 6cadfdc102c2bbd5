/** When it is too late to begin a run, where nobody said so but the policy of its task. */
import type { Policy } from "./Policy.ts"

/** How long after now it is, for a run that is due so long after now. */
export const after = (
  { deadlineMillis }: Pick<Policy, "deadlineMillis">,
  delayMillis: number,
): number | undefined => deadlineMillis === undefined ? undefined : delayMillis + deadlineMillis

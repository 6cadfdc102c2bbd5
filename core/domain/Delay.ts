/** How long after now something is to be, as somebody named it. */
import { Duration, Option } from "effect"
import { shown } from "./given.ts"
import * as Options from "./Options.ts"
import { Refused } from "./Refused.ts"

const millisMax = 366 * 86_400_000

interface Wanted {
  readonly field: string
  readonly millisMin: number
  /** As remedies call the least and the most, and doing without. */
  readonly words: string
}

const ofRun: Wanted = {
  field: "delay",
  millisMin: 0,
  words: "Use nothing up to 366 days, or leave it out",
}

/** What is wrong with it, if anything is. */
export const flaw = (
  delay: Duration.Input,
  { field, millisMin, words }: Wanted = ofRun,
): Refused | undefined => {
  const given = Options.duration(delay)
  if (Option.isNone(given)) {
    const reason = `${shown(delay)} is not a duration`
    return new Refused({ field, reason, remedy: 'Write it as "90 seconds"' })
  }
  const millis = Duration.toMillis(given.value)
  return millis >= millisMin && millis <= millisMax
    ? undefined
    : new Refused({ field, reason: `it is ${millis} ms from now`, remedy: words })
}

/** Of one that has no flaw. */
export const millisOf = (delay: Duration.Input): number =>
  Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(delay)))

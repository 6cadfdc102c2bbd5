/** What whoever submits or gives an order may say: who they are, why, and until when. */
import { Duration, Effect } from "effect"
import { byMax, noteMax } from "../domain/Asked.ts"
import { Refused } from "../domain/Refused.ts"
import * as Text from "../domain/Text.ts"

/** Who asks, as it may be kept. */
export const checkedBy = (by: string | undefined) => checkedWords("by", by, 1, byMax)
export const checkedNote = (note: string | undefined) => checkedWords("note", note, 0, noteMax)

const checkedWords = (field: string, text: string | undefined, least: number, most: number) => {
  if (text === undefined) return Effect.void
  if (text.length < least || text.length > most) {
    return Effect.fail(
      new Refused({
        field,
        reason: `it has ${text.length} characters`,
        remedy: `Use ${least} to ${most} characters`,
      }),
    )
  }
  const reason = Text.flaw(text)
  return reason === undefined
    ? Effect.void
    : Effect.fail(new Refused({ field, reason, remedy: Text.remedy }))
}

const deadlineMillisMax = 366 * 86_400_000

export const flawOfDeadline = (deadline: Duration.Input): Refused | undefined => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(deadline))
  return millis > 0 && millis <= deadlineMillisMax ? undefined : new Refused({
    field: "deadline",
    reason: `it is ${millis} ms from now`,
    remedy: "Use more than nothing and at most 366 days, or none",
  })
}

/** What whoever submits, asks or gives an order may say: who they are, why, and under what. */
import { Effect } from "effect"
import { byMax, noteMax } from "../domain/Asked.ts"
import { lengthMax } from "../domain/IdempotencyKey.ts"
import { Refused } from "../domain/Refused.ts"
import * as Text from "../domain/Text.ts"

/** Who asks, as it may be kept. */
export const checkedBy = (by: string | undefined) => checkedWords("by", by, 1, byMax)
export const checkedNote = (note: string | undefined) => checkedWords("note", note, 0, noteMax)

/** Under what it is asked for, so that it is the same when it is asked for again. */
export const checkedRequest = (request: string) => checkedWords("request", request, 1, lengthMax)

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

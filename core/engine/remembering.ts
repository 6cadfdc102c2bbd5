/** What a run may have its task keep for a key. */
import { Result } from "effect"
import { Refused } from "../domain/Refused.ts"
import * as Text from "../domain/Text.ts"
import { type Kept, stateKeyMax, stateMax } from "../services/RunStorage.ts"

export const keptOf = (key: string, state: string | undefined): Result.Result<Kept, Refused> => {
  const refused = (field: string, reason: string, remedy: string) =>
    Result.fail(new Refused({ field, reason, remedy }))
  const flaw = Text.flaw(key)
  if (flaw !== undefined) return refused("key", flaw, Text.remedy)
  if (key.length > stateKeyMax) {
    return refused("key", `it has ${key.length} characters`, `Use at most ${stateKeyMax}`)
  }
  if (state !== undefined && state.length > stateMax) {
    return refused(
      "state",
      `it has ${state.length} characters, more than ${stateMax}`,
      "Keep the data elsewhere, and here where it is",
    )
  }
  return Result.succeed({ key, ...(state !== undefined && { state }) })
}

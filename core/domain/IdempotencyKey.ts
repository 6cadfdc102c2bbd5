/** A key under which something is asked for, so that it is the same when it is asked for again. */
import { Schema } from "effect"
import * as Text from "./Text.ts"

export const lengthMax = 512

/** That of a request to a trigger. */
export const RequestKey = Schema.NonEmptyString.check(Schema.isMaxLength(lengthMax))

/** Why a header cannot carry the key as it is, if it cannot. */
export const flawInHeader = (key: string): string | undefined => {
  if (key === "" || key.length > lengthMax) return `it has ${key.length} characters`
  if (/\p{Cc}/u.test(key)) return "it has a control character"
  if (key !== key.trim()) return "it begins or ends with a space"
  return Text.flaw(key)
}

/** What one looks like that it can carry. */
export const inHeader =
  `1 to ${lengthMax} characters, no control character, and no space at the ends`

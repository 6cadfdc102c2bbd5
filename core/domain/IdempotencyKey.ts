/** A key under which something is asked for, so that it is the same when it is asked for again. */
import { Schema } from "effect"

export const lengthMax = 512

/** That of a request to a trigger. */
export const RequestKey = Schema.NonEmptyString.check(Schema.isMaxLength(lengthMax))

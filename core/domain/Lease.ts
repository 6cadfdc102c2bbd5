/**
 * A lease is a time-bounded grant. Every grant carries a fence: a number that rises with each
 * grant of the same thing, for ever, so that whoever acts on an older grant can be told apart.
 */
import { Schema } from "effect"
import * as Text from "./Text.ts"

export const Fence = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.brand("Fence"))
export type Fence = typeof Fence.Type

/** The fence of what has never been granted. */
export const never: Fence = Fence.make(0)

export const LockKey = Schema.NonEmptyString.check(Schema.isMaxLength(512), Text.kept).pipe(
  Schema.brand("LockKey"),
)
export type LockKey = typeof LockKey.Type

/** A named lock as one holder holds it. It names no instant: only the adapter's clock judges. */
export class Lease extends Schema.Class<Lease>("Lease")({
  key: LockKey,
  holder: Schema.NonEmptyString,
  fence: Fence,
}) {}

/**
 * The one error every storage may fail with: it did not answer, or did not answer in time.
 *
 * The command may or may not have been carried out. Every command of `Storage` may be repeated:
 * claims by their round, reports by their fence, fires by their slot, submits by their idempotency
 * key. Only a submit without a key, repeated, may become two runs.
 */
import { Inspectable, Schema } from "effect"

export class StorageUnavailable
  extends Schema.TaggedError<StorageUnavailable>()("StorageUnavailable", {
    storage: Schema.String,
    operation: Schema.String,
    cause: Schema.Defect(),
  }) {
  override get message() {
    const { cause } = this
    const reason = cause instanceof Error ? cause.message : Inspectable.toStringUnknown(cause, 0)
    return `${this.storage} did not carry out ${this.operation}: ${reason}`
  }
}

import { Schema } from "effect"

/**
 * There is no local PostgreSQL server: `reason` says what stood in the way, `remedy` what to do
 * about it. Nothing is left running, and a persistent folder is as it was.
 */
export class LocalServerUnavailable
  extends Schema.TaggedError<LocalServerUnavailable>()("LocalServerUnavailable", {
    reason: Schema.String,
    remedy: Schema.String,
    cause: Schema.optionalKey(Schema.Defect()),
  }) {
  override get message() {
    return `${this.reason} (${this.remedy})`
  }
}

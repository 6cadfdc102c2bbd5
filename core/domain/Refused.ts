/**
 * A definition or request that cannot be accepted. Nothing was stored. It names the field, what is
 * wrong with it, and what to write instead.
 */
import { Schema } from "effect"

export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  field: Schema.String,
  reason: Schema.String,
  remedy: Schema.String,
}) {
  override get message() {
    return `${this.field}: ${this.reason}. ${this.remedy}`
  }
}

/**
 * A definition or request that cannot be accepted. Nothing was stored. It names the field, what is
 * wrong with it, and what to write instead.
 */
import { Schema } from "effect"
import * as Objection from "./Objection.ts"

export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  field: Schema.String,
  reason: Schema.String,
  remedy: Schema.String,
}) {
  override get message() {
    return `${this.field}: ${this.reason}. ${this.remedy}`
  }
}

/**
 * The first thing that a schema has against what was given as `field`. It tells the value as well,
 * when the schema was asked with `reportInput`.
 */
export const refusalOf = ({ issue }: Schema.SchemaError, field: string): Refused => {
  const { path, reason, remedy } = Objection.first(issue)
  return new Refused({ field: [field, ...fields(path)].join("."), reason, remedy })
}

const fields = (path: ReadonlyArray<string>) => path.length === 0 ? [] : [Objection.fieldOf(path)]

/**
 * A definition or request that cannot be accepted. Nothing was stored. It names the field, what is
 * wrong with it, and what to write instead.
 */
import { Schema, SchemaIssue } from "effect"

export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  field: Schema.String,
  reason: Schema.String,
  remedy: Schema.String,
}) {
  override get message() {
    return `${this.field}: ${this.reason}. ${this.remedy}`
  }
}

const missing = "it is missing"
const unknown = "there is no such field"

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "MissingKey"
      ? missing
      : issue._tag === "UnexpectedKey"
      ? unknown
      : SchemaIssue.defaultLeafHook(issue),
})
const textMax = 500

/**
 * The first thing that a schema has against what was given as `field`. It tells the value as well,
 * when the schema was asked with `reportInput`.
 */
export const refusalOf = ({ issue }: Schema.SchemaError, field: string): Refused => {
  const [first] = issuesOf(issue).issues
  const path = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key))
  const { reason, remedy } = explained(first?.message ?? "it cannot be read")
  return new Refused({
    field: [field, ...path].join("."),
    reason: reason.slice(0, textMax),
    remedy: remedy.slice(0, textMax),
  })
}

/** Schemas name these kinds as bare words. */
const articles: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  integer: "an integer",
  boolean: "a boolean",
  object: "an object",
  array: "an array",
}

const explained = (message: string): { readonly reason: string; readonly remedy: string } => {
  const [, expected, given] = /^Expected ([^]*?)(?:, got ([^]*))?$/.exec(message) ?? []
  if (expected !== undefined) {
    const what = articles[expected] ?? expected
    return { reason: `${given ?? "it"} is not ${what}`, remedy: `Give ${what}` }
  }
  const remedy = message === missing
    ? "Give it"
    : message === unknown
    ? "Leave it out, or see how it is spelled"
    : "Mend it as the reason says"
  return { reason: message, remedy }
}

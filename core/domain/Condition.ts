/**
 * What a JSON value has to be, as data: a list of clauses that must all hold. It is kept with what
 * asks for it, shown, and edited.
 *
 * A clause looks at one place of the value, named by a JSON pointer: `/order/total`, `/lines/0`, or
 * the empty pointer for the value itself.
 */
import { Schema } from "effect"
import * as Text from "./Text.ts"

/** `less` and the like hold between two numbers, or two texts by their code units; else not. */
export const Comparison = Schema.Literals([
  "equal",
  "not equal",
  "less",
  "at most",
  "greater",
  "at least",
  "present",
  "absent",
])
export type Comparison = typeof Comparison.Type

const pointer = /^(\/([^~/]|~[01])*)*$/

export const Clause = Schema.Struct({
  at: Schema.String.check(
    Schema.isMaxLength(256),
    Schema.isPattern(pointer, { message: 'a JSON pointer is empty, or begins with "/"' }),
    Text.kept,
  ),
  is: Comparison,
  /** What it is compared with; nothing for `present` and `absent`. */
  to: Schema.optionalKey(Schema.Union([
    Schema.String.check(Schema.isMaxLength(1024), Text.kept),
    Schema.Finite,
    Schema.Boolean,
    Schema.Null,
  ])),
}).check(
  Schema.makeFilter(({ is, to }) =>
    is === "present" || is === "absent"
      ? to === undefined ? undefined : `"${is}" is compared with nothing: leave "to" out`
      : to === undefined
      ? `"${is}" needs "to", what to compare with`
      : undefined
  ),
)
export type Clause = typeof Clause.Type

export const Condition = Schema.Array(Clause).check(Schema.isMaxLength(16))
export type Condition = typeof Condition.Type

/** The first clause that does not hold of `value`; `undefined` stands for no value at all. */
export const unmet = (condition: Condition, value: unknown): Clause | undefined =>
  condition.find((clause) => !holds(clause, valueAt(clause.at, value)))

/** `clause` as people say it. */
export const words = ({ at, is, to }: Clause): string => {
  const place = at === "" ? "the result" : at
  return is === "present" || is === "absent"
    ? `${place} is ${is}`
    : `${place} is ${is} to ${JSON.stringify(to)}`.replace(/(less|greater) to/, "$1 than")
      .replace(/(at most|at least) to/, "$1")
}

const valueAt = (at: string, value: unknown): unknown => {
  let found = value
  for (const part of at.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~")
    // Own properties alone: `__proto__` and `length` of a text are nobody's data.
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return undefined
    found = (found as Record<string, unknown>)[key]
  }
  return found
}

const holds = ({ is, to }: Clause, value: unknown): boolean => {
  switch (is) {
    case "present":
      return value !== undefined
    case "absent":
      return value === undefined
    case "equal":
      return value === to
    case "not equal":
      return value !== to
    default:
      return compare(is, value, to)
  }
}

const compare = (
  is: Exclude<Comparison, "equal" | "not equal" | "present" | "absent">,
  value: unknown,
  to: unknown,
): boolean => {
  const areComparable = (typeof value === "number" && typeof to === "number") ||
    (typeof value === "string" && typeof to === "string")
  if (!areComparable) return false
  switch (is) {
    case "less":
      return value < to
    case "at most":
      return value <= to
    case "greater":
      return value > to
    case "at least":
      return value >= to
  }
}

/**
 * What a program names in its code and no schema reads: durations, and options that types alone know.
 * They are refused by the path by which they were written, as a program without types cannot see them.
 */
import { Duration, Option } from "effect"
import { shown } from "./given.ts"
import { Refused } from "./Refused.ts"
import { suggest } from "./suggestions.ts"

const parts: ReadonlyArray<string> = [
  ...["weeks", "days", "hours", "minutes", "seconds"],
  ...["milliseconds", "microseconds", "nanoseconds"],
]

/** Of an object without any of these `Duration.fromInput` makes none at all, and passes over what it does not know. */
const isOfParts = (given: object): boolean =>
  parts.some((part) => part in given) && Object.keys(given).every((name) => parts.includes(name))

/** As `Duration.fromInput`, but for objects that spell none. */
export const duration = (given: Duration.Input): Option.Option<Duration.Duration> =>
  typeof given !== "object" || given === null || Array.isArray(given) ||
    Duration.isDuration(given) ||
    isOfParts(given)
    ? Duration.fromInput(given)
    : Option.none()

/** In milliseconds. Throws `Refused` when it is no duration, or less than nothing. */
export const millis = (field: string, given: Duration.Input): number => {
  const spelled = Option.getOrUndefined(duration(given))
  const millis = spelled && Math.ceil(Duration.toMillis(spelled))
  if (millis !== undefined && millis >= 0) return millis
  const what = millis === undefined ? "not a duration" : "less than nothing"
  const remedy = 'Write it as in "30 seconds"'
  throw new Refused({ field, reason: `${shown(given)} is ${what}`, remedy })
}

/** In milliseconds. Throws `Refused` when it is no date that there is. */
export const instant = (field: string, given: Date): number => {
  const at = given instanceof Date ? given.getTime() : NaN
  if (Number.isFinite(at)) return at
  throw new Refused({
    field,
    reason: given instanceof Date ? "it is a date that there is not" : `${shown(given)} is no Date`,
    remedy: 'Give one, as in new Date("2031-01-01T00:00:00Z")',
  })
}

/** Why `given` names what is none of the `known`, or is no object at all; `field` is what it is called. */
export const flaw = (
  field: string,
  given: unknown,
  known: ReadonlyArray<string>,
): Refused | undefined => {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return new Refused({
      field,
      reason: `${shown(given)} is no object`,
      remedy: `Give one with ${known.join(", ")}`,
    })
  }
  // What is named and left open says nothing.
  const stray = Object.entries(given).find(([name, value]) =>
    value !== undefined && !known.includes(name)
  )
  if (stray === undefined) return undefined
  const [name] = stray
  const [alike] = suggest(name, known, 1)
  return new Refused({
    field: `${field}.${name === "" ? '""' : name}`.slice(0, 200),
    reason: "there is no such option",
    remedy: alike === undefined
      ? `Leave it out; there is ${known.join(", ")}`
      : `Leave it out, or write \`${alike}\``,
  })
}

/** Throws what `flaw` says. */
export const check = (field: string, given: unknown, known: ReadonlyArray<string>): void => {
  const refused = flaw(field, given, known)
  if (refused !== undefined) throw refused
}

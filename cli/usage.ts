/** What is wrong with the words of a command: one line for each, with what to write instead. */
import { CliError } from "effect/cli"
import { suggest } from "../core/domain/suggestions.ts"

/** A number below nothing is the value of the flag before it: words that begin with a dash are flags. */
export const joined = (words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = words.includes("--") ? words.indexOf("--") : words.length
  const all: Array<string> = []
  for (const [at, word] of words.entries()) {
    const before = all.at(-1)
    const isValue = at < end && /^-\d/.test(word) && /^--[a-z][a-z-]*$/.test(before ?? "")
    if (isValue) all[all.length - 1] = `${before}=${word}`
    else all.push(word)
  }
  return all
}

export const line = (error: CliError.CliError | Error): string => {
  if (!CliError.isCliError(error)) return error.message
  switch (error._tag) {
    case "InvalidValue":
      return invalid(error)
    case "UnrecognizedOption": {
      const [alike] = error.suggestions
      return `${error.option}: there is no such flag` +
        (alike === undefined ? "; leave it out" : `; did you mean ${alike}?`)
    }
    case "MissingOption":
      return `--${error.option}: it is missing, and needed; name it`
    default:
      return error.message
  }
}

const invalid = ({ expected: said, kind, option, value }: CliError.InvalidValue): string => {
  const name = kind === "flag" ? `--${option}` : option
  const expected = said.replace(/^Expected:? /, "")
  // Of a value that is missing the library tells its kind, in a word.
  if (kind === "flag" && value === "" && (isOfLibrary(expected) || /^[\w-]+$/.test(expected))) {
    return `${name}: it has no value; ${give(expected, option)}`
  }
  const given = JSON.stringify(value.length > 100 ? `${value.slice(0, 99)}…` : value)
  // Those of ours say it all.
  if (!isOfLibrary(expected)) {
    return expected.startsWith('"') ? `${name}: ${expected}` : `${name}: ${given}: ${expected}`
  }
  return `${name}: ${given} is not ${thing(expected)}; ${give(expected, option, value)}`
}

const wordsOf = (expected: string) => {
  const words = expected.split(" | ")
  return words.every((word) => /^"[^"]*"$/.test(word)) ? words.map((word) => word.slice(1, -1)) : []
}

/** What the library calls otherwise than people do. */
const things: Readonly<Record<string, readonly [thing: string, example: string]>> = {
  "a string representing a finite number": ["a number", "20"],
  "an integer": ["a whole number", "20"],
  "a valid Date": ["a date", "2031-01-01T00:00:00Z"],
  "duration": ["a duration", "90s"],
}

const isOfLibrary = (expected: string) => expected in things || wordsOf(expected).length > 0

const thing = (expected: string) =>
  things[expected]?.[0] ?? (wordsOf(expected).length === 0 ? expected : "one of its words")

const give = (expected: string, option: string, value = ""): string => {
  const words = wordsOf(expected)
  const [alike] = value.length < 3 ? [] : suggest(value, words, 1)
  if (alike !== undefined) return `did you mean ${alike}?`
  if (words.length > 0) return `write one of ${words.join(", ")}`
  const example = things[expected]?.[1]
  return example === undefined
    ? `write it after --${option}`
    : `write it as in --${option} ${example}`
}

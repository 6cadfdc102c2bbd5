/**
 * A line that the handler of a run has said. Lines of one grant are numbered from 1 on, and a line may
 * be a mark that stands where others were left out.
 */
import { DateTime, Schema } from "effect"
import { Fence } from "./Lease.ts"

export const LogLevel = Schema.Literals(["Trace", "Debug", "Info", "Warn", "Error", "Fatal"])
export type LogLevel = typeof LogLevel.Type

/** A line has at most so many characters. */
export const textMax = 16_384

const said = {
  level: LogLevel,
  text: Schema.String.check(Schema.isMaxLength(textMax)),
  /** It is a mark: so many lines were left out here. */
  leftOut: Schema.optionalKey(Schema.Int),
}

/** A line on its way: when it was said is a duration, as clocks differ. */
export const SaidLine = Schema.Struct({ ...said, agoMillis: Schema.Int })
export type SaidLine = typeof SaidLine.Type

/** A line as it is kept. */
export const LogLine = Schema.Struct({
  ...said,
  /** The grant that said it. */
  fence: Fence,
  number: Schema.Int,
  at: Schema.DateTimeUtc,
})
export type LogLine = typeof LogLine.Type

// Line feeds and tabs stay. What a terminal would obey goes, and so do marks that turn the direction
// of text around, by which a line can look like another.
const obeyed =
  // deno-lint-ignore no-control-regex
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** `text` without anything that a terminal or a page would obey, cut to its bound. */
export const cleaned = (text: string): string => {
  const clean = text.replace(obeyed, "").toWellFormed()
  return clean.length <= textMax ? clean : `${clean.slice(0, textMax - 1).toWellFormed()}…`
}

/** The mark that stands for so many lines. */
export const mark = (leftOut: number, why: string): Omit<SaidLine, "agoMillis"> => ({
  level: "Warn",
  text: `${leftOut} ${leftOut === 1 ? "line was" : "lines were"} left out: ${why}`,
  leftOut,
})

/** A line, by its place in the log of its run. */
export interface Place {
  readonly fence: Fence
  readonly number: number
}

/** Lines that came together. */
export interface Part {
  readonly fence: Fence
  readonly first: number
  /** When they came, in milliseconds since 1970. */
  readonly at: number
  readonly lines: ReadonlyArray<SaidLine>
}

/** The first lines after a place, of parts that are in order. */
export const linesAfter = (
  parts: Iterable<Part>,
  after: Place | undefined,
  limit: number,
): ReadonlyArray<LogLine> => {
  const lines: Array<LogLine> = []
  for (const { at, fence, first, lines: said } of parts) {
    if (after !== undefined && fence < after.fence) continue
    for (const [nth, { agoMillis, ...line }] of said.entries()) {
      const number = first + nth
      if (after?.fence === fence && number <= after.number) continue
      if (lines.length === limit) return lines
      lines.push({ ...line, fence, number, at: DateTime.makeUnsafe(at - agoMillis) })
    }
  }
  return lines
}

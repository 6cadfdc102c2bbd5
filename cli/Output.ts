/**
 * How the command writes: data to standard output, talk to standard error. People get aligned
 * columns, with colour only on a terminal; programs get JSON.
 */
import { stripVTControlCharacters, styleText } from "node:util"

type Format = Parameters<typeof styleText>[0]

/** Whether a stream wants colour: it is a terminal, and nobody said no. */
const isColoured = (stream: NodeJS.WriteStream) => {
  const { FORCE_COLOR, NO_COLOR, TERM } = process.env
  if (NO_COLOR || TERM === "dumb") return false
  if (FORCE_COLOR && FORCE_COLOR !== "0" && FORCE_COLOR !== "false") return true
  return stream.isTTY === true
}

export const isTerminal = () => process.stdout.isTTY === true && process.env["TERM"] !== "dumb"

const styled = (stream: NodeJS.WriteStream) => (format: Format, text: string): string =>
  isColoured(stream) ? styleText(format, text, { validateStream: false }) : text

/** Colours a text for standard output. */
export const style = styled(process.stdout)
/** Colours a text for standard error. */
export const styleTalk = styled(process.stderr)

export const print = (text: string) => void process.stdout.write(`${text}\n`)
export const talk = (text: string) => void process.stderr.write(`${text}\n`)

/** One document. */
export const printJson = (document: unknown) => print(JSON.stringify(document, undefined, 2))
/** One line. */
export const printJsonLine = (document: unknown) => print(JSON.stringify(document))

/** Cells of one row per line, in columns; a heading above them, if there is one. */
export const table = (
  heading: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
): string => {
  const hasHeading = heading.some((title) => title !== "")
  const all = [
    ...(hasHeading ? [heading.map((title) => style("dim", title.toUpperCase()))] : []),
    ...rows,
  ]
  const widths = heading.map((_, at) => Math.max(...all.map((row) => widthOf(row[at] ?? ""))))
  return all.map((row) =>
    row.map((cell, at) => cell + " ".repeat(Math.max(0, widths[at]! - widthOf(cell))))
      .join("  ").trimEnd()
  ).join("\n")
}

/** Names and values, the values aligned. */
export const facts = (rows: ReadonlyArray<readonly [string, string | undefined]>): string => {
  const known = rows.filter(([, value]) => value !== undefined)
  const width = Math.max(...known.map(([name]) => name.length))
  return known.map(([name, value]) => `${style("dim", name.padEnd(width))}  ${value}`).join("\n")
}

const widthOf = (cell: string) => stripVTControlCharacters(cell).length

/** A text from elsewhere, on one line and without anything a terminal would obey. */
export const plain = (text: string, widthMax = 200): string => {
  // deno-lint-ignore no-control-regex
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ")
  return line.length > widthMax ? `${line.slice(0, widthMax - 1)}…` : line
}

const marks: Record<string, readonly [string, Format]> = {
  Scheduled: ["◷", "cyan"],
  Blocked: ["◫", "yellow"],
  Ready: ["○", "cyan"],
  Running: ["◐", "blue"],
  Succeeded: ["✔", "green"],
  Failed: ["✖", "red"],
  TimedOut: ["⧖", "red"],
  Cancelled: ["⊘", "dim"],
  Discarded: ["∅", "dim"],
  Quarantined: ["⚠", "magenta"],
}

/** A state by its shape, its word and its colour. */
export const state = (name: string): string => {
  const [mark, colour] = marks[name] ?? ["·", "dim"]
  return style(colour, `${mark} ${name}`)
}

export const millis = (duration: number): string => {
  if (duration < 1000) return `${Math.round(duration)} ms`
  if (duration < 60_000) return `${(duration / 1000).toFixed(1)} s`
  const minutes = Math.floor(duration / 60_000)
  if (minutes < 60) return `${minutes} min ${Math.floor(duration / 1000) % 60} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48
    ? `${hours} h ${minutes % 60} min`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** A point in time as told from `now`: `in 3 min`, `5 s ago`. */
export const fromNow = (at: number, now: number): string =>
  at >= now ? `in ${millis(at - now)}` : `${millis(now - at)} ago`

/** What is being measured right now, on standard error: one moving line on a terminal. */
import { Effect } from "effect"

const err = process.stderr
const erase = err.isTTY ? "\r\x1b[2K" : ""

/** Shows a line that the next one replaces; nothing where lines cannot be replaced. */
export const show = (line: string): Effect.Effect<void> =>
  Effect.sync(() => {
    if (err.isTTY) err.write(erase + line.slice(0, (err.columns || 80) - 1))
  })

export const keep = (line: string): Effect.Effect<void> =>
  Effect.sync(() => err.write(`${erase}${line}\n`))

export const clear: Effect.Effect<void> = Effect.sync(() => err.write(erase))

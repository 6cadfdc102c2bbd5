/** Log lines as people read them, on standard error. */
import { Cause, Logger, References } from "effect"
import * as Output from "./Output.ts"

const colours = { Warn: "yellow", Error: "red", Fatal: "red" } as const

const line = Logger.make<unknown, void>(({ cause, date, fiber, logLevel, message }) => {
  const time = date.toTimeString().slice(0, 8)
  const words = (Array.isArray(message) ? message : [message]).map((part) =>
    typeof part === "string" ? part : part instanceof Error ? part.message : JSON.stringify(part)
  )
  const notes = Object.entries(fiber.getRef(References.CurrentLogAnnotations))
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
  const level = logLevel.toLowerCase()
  const colour = colours[logLevel as keyof typeof colours]
  const reasons = cause.reasons.length === 0 ? [] : [`\n${Cause.pretty(cause)}`]
  Output.talk([
    Output.styleTalk("dim", time),
    colour === undefined ? Output.styleTalk("dim", level) : Output.styleTalk(colour, level),
    ...words,
    ...notes,
    ...reasons,
  ].join(" "))
})

export const logger = Logger.layer([line])

/**
 * Text that every storage gives back as it was given: PostgreSQL keeps no NUL, and half of a
 * surrogate pair is no character, which UTF-8 would silently replace, so that two keys become one.
 *
 * JSON text has neither, since it escapes both.
 */
import { Schema } from "effect"

/** Why `text` cannot be kept, if it cannot. */
export const flaw = (text: string): string | undefined =>
  text.includes("\0")
    ? "it has a NUL character"
    : text.isWellFormed()
    ? undefined
    : "it has half of a surrogate pair"

export const remedy = "Take that character out, or encode the text, in Base64 say"

/** For schemas of text that is kept. */
export const kept = Schema.makeFilter<string>((text) => flaw(text))

/**
 * An idempotency key as a header carries it. A header has bytes and no characters, which Node and
 * `fetch` take for those of Latin-1: the key is written as its UTF-8, as `curl` writes it.
 */
import { Schema, SchemaTransformation } from "effect"

/** What `fetch` takes for the bytes of the key. */
export const write = (key: string): string =>
  Array.from(new TextEncoder().encode(key), (byte) => String.fromCharCode(byte)).join("")

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** What is no UTF-8 is Latin-1 indeed. */
export const read = (header: string): string => {
  try {
    return utf8.decode(Uint8Array.from(header, (character) => character.charCodeAt(0)))
  } catch {
    return header
  }
}

export const KeyHeader = Schema.String.pipe(
  Schema.decodeTo(Schema.String, SchemaTransformation.transform({ decode: read, encode: write })),
)

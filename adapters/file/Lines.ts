/**
 * The lines of a file as a source, as something else appends them.
 *
 * A file is known by its number and by a digest of its first bytes, so that one which was moved aside,
 * or copied and cut, is found again beside the path, under a name that begins like it, and read to its
 * end before the one that took its place. What is found no more is told as a gap. Only a file that was
 * cut and then grew past the position with the same first bytes as before looks as if it never was.
 *
 * A position is the number of the file, the byte after the last line, and how many first bytes have
 * which digest; `~` after it stands within a line that is too long.
 */
import { createHash } from "node:crypto"
import { type FileHandle, open, readdir } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Clock, Effect, type Scope } from "effect"
import {
  type Entry,
  type Reader,
  type Reading,
  type Source,
  SourceUnavailable,
} from "../../core/services/Source.ts"

export interface LinesOptions {
  /** `text`, unless named: an entry is `{ "line": "…" }`. `json`: each line is JSON, blank ones are not. */
  readonly as?: "text" | "json"
}

/** A longer line is told as one that cannot be read. */
const lineBytesMax = 1024 * 1024
const headBytes = 256
/** So many files beside the path are looked at. */
const siblingsMax = 100
/** Whoever moved a file aside may write to it for so long. */
const restMillis = 5000
const newline = 0x0a

interface Place {
  readonly file: string
  readonly offset: number
  readonly headLength: number
  readonly head: string
  readonly isWithin: boolean
}

interface Opened {
  readonly handle: FileHandle
  readonly path: string
  readonly file: string
  readonly size: number
  readonly modifiedAt: number
  /** Its first bytes. */
  readonly head: Uint8Array
}

export const lines = (path: string, { as = "text" }: LinesOptions = {}): Source => {
  const source = `file ${path}`
  const fail = (cause: unknown) =>
    new SourceUnavailable({ source, reason: cause instanceof Error ? cause.message : `${cause}` })
  const attempt = <A>(call: () => Promise<A>) => Effect.tryPromise({ try: call, catch: fail })

  /** Absent when there is no such file. */
  const opened = (at: string): Effect.Effect<Opened | undefined, SourceUnavailable, Scope.Scope> =>
    Effect.gen(function* () {
      const handle = yield* Effect.acquireRelease(
        attempt(() => open(at, "r").catch(nothing)),
        (handle) => Effect.promise(() => handle?.close().catch(() => {}) ?? Promise.resolve()),
      )
      if (handle === undefined) return undefined
      return yield* attempt(async () => {
        const { ino, mtimeMs, size } = await handle.stat({ bigint: true })
        const head = Buffer.alloc(headBytes)
        const { bytesRead } = await handle.read(head, 0, headBytes, 0)
        return {
          handle,
          path: at,
          file: `${ino}`,
          size: Number(size),
          modifiedAt: Number(mtimeMs),
          head: head.subarray(0, bytesRead),
        }
      })
    })

  /** Those that may have been at the path before, and the one that is. */
  const all = Effect.gen(function* () {
    const folder = dirname(path)
    const names = yield* attempt(() => readdir(folder))
    const name = basename(path)
    const near = names.filter((each) => each.startsWith(name)).sort().slice(0, siblingsMax)
    const files = yield* Effect.forEach(near, (each) => opened(join(folder, each)))
    return files.filter((each) => each !== undefined)
  })

  const readOn = (
    from: Opened,
    { isWithin, offset }: Pick<Place, "isWithin" | "offset">,
    limit: number,
    isWhole: boolean,
  ) =>
    attempt(async (): Promise<Reading> => {
      const chunk = Buffer.alloc(Math.min(lineBytesMax, Math.max(0, from.size - offset)))
      const { bytesRead } = await from.handle.read(chunk, 0, chunk.length, offset)
      const entries: Array<Entry> = []
      let at = 0
      let within = isWithin
      const position = () => positionOf(from, offset + at, within)
      while (at < bytesRead && entries.length < limit) {
        const end = chunk.subarray(0, bytesRead).indexOf(newline, at)
        const isLast = end === -1
        if (isLast && at === 0 && bytesRead === lineBytesMax) {
          at = bytesRead
          const isNew = !within
          within = true
          if (isNew) {
            entries.push({
              position: position(),
              flaw: `a line has more than ${lineBytesMax} bytes`,
            })
          }
          break
        }
        // Whoever writes it has not ended it yet, unless nobody writes there any more.
        if (isLast && !(isWhole && offset + bytesRead === from.size)) break
        const line = chunk.subarray(at, isLast ? bytesRead : end).toString("utf8").replace(
          /\r$/,
          "",
        )
        at = isLast ? bytesRead : end + 1
        const wasWithin = within
        within = false
        if (!wasWithin && !(as === "json" && line.trim() === "")) {
          entries.push(entryOf(position(), line))
        }
      }
      const isAtEnd = entries.length < limit && offset + bytesRead >= from.size &&
        bytesRead < lineBytesMax
      return { entries, to: position(), isAtEnd }
    })

  const entryOf = (position: string, line: string): Entry => {
    if (as === "text") return { position, value: { line } }
    try {
      return { position, value: JSON.parse(line) as unknown }
    } catch (cause) {
      return { position, flaw: `it is not JSON: ${cause instanceof Error ? cause.message : cause}` }
    }
  }

  const missing = fail(new Error("there is no such file"))

  /** The file in which a position lies is no longer at the path. */
  const readAside = Effect.fnUntraced(function* (place: Place, limit: number) {
    const files = yield* all
    const found = files.filter((each) => isOf(each, place))
    const aside = found.find(({ file }) => file === place.file) ?? found[0]
    const current = files.find((each) => each.path === path)
    if (aside === undefined) {
      if (current === undefined) return yield* missing
      const to = positionOf(current, 0, false)
      const flaw = `what came after byte ${place.offset} is gone: the file was cut, or moved away`
      return { entries: [{ position: to, flaw }], to, isAtEnd: false }
    }
    const now = yield* Clock.currentTimeMillis
    const isWhole = aside.file !== place.file || aside.modifiedAt < now - restMillis
    const reading = yield* readOn(aside, place, limit, isWhole)
    if (!reading.isAtEnd || reading.entries.length > 0 || !isWhole) return reading
    const next = files.filter((each) =>
      each.file !== aside.file && (each === current || each.modifiedAt > aside.modifiedAt)
    ).sort((a, b) =>
      Number(a === current) - Number(b === current) || a.modifiedAt - b.modifiedAt
    )[0]
    return next === undefined
      ? reading
      : { entries: [], to: positionOf(next, 0, false), isAtEnd: false }
  })

  const reader: Reader = {
    read: Effect.fnUntraced(function* (after, limit) {
      const current = yield* opened(path)
      const place = after === "" ? undefined : placeOf(after)
      if (place === undefined) {
        if (current === undefined) return yield* missing
        return yield* readOn(current, { offset: 0, isWithin: false }, limit, false)
      }
      return current !== undefined && current.file === place.file && isOf(current, place)
        ? yield* readOn(current, place, limit, false)
        : yield* readAside(place, limit)
    }, Effect.scoped),
    // The end of the last line that is whole.
    end: Effect.scoped(Effect.gen(function* () {
      const current = yield* opened(path)
      if (current === undefined) return yield* missing
      const offset = yield* attempt(() => lastLine(current))
      return positionOf(current, offset, false)
    })),
  }
  return { name: source, open: Effect.succeed(reader) }
}

const nothing = (cause: NodeJS.ErrnoException): undefined => {
  if (cause.code !== "ENOENT") throw cause
}

/** The byte after the last line, looked for from the end backwards. */
const lastLine = async ({ handle, size }: Opened): Promise<number> => {
  const chunk = Buffer.alloc(64 * 1024)
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - chunk.length)
    const { bytesRead } = await handle.read(chunk, 0, end - start, start)
    const at = chunk.subarray(0, bytesRead).lastIndexOf(newline)
    if (at !== -1) return start + at + 1
    end = start
  }
  return 0
}

const digest = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex").slice(0, 16)

const positionOf = ({ file, head }: Opened, offset: number, isWithin: boolean): string => {
  const length = Math.min(offset, head.length, headBytes)
  const of = length === 0 ? "" : digest(head.subarray(0, length))
  return `${file}:${offset}:${length}:${of}${isWithin ? "~" : ""}`
}

const placeOf = (position: string): Place => {
  const isWithin = position.endsWith("~")
  const [file = "", offset, headLength, head = ""] = position.replace("~", "").split(":")
  return { file, offset: Number(offset), headLength: Number(headLength), head, isWithin }
}

/** Whether the position lies in this file. */
const isOf = ({ file, head, size }: Opened, place: Place): boolean =>
  size >= place.offset &&
  (place.headLength === 0
    ? file === place.file
    : head.length >= place.headLength && digest(head.subarray(0, place.headLength)) === place.head)

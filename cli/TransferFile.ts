/**
 * An export as a file: JSON, one record per line, after a header and before an end.
 *
 * The end says how many of each sort there are, and the digest of all lines before it, so a file that
 * was cut off or changed is not taken for a whole one. The header says what made it, in which version
 * of the format, and what the storage clock said.
 */
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import * as StateRecord from "../core/domain/StateRecord.ts"
import { pageMax } from "../core/services/TransferStorage.ts"
import { Problem } from "./Problem.ts"

export const Header = Schema.Struct({
  belfry: Schema.Literal("export"),
  version: Schema.Int,
  technology: Schema.String,
  /** The storage clock when it began. */
  at: Schema.Int,
  /** Which Belfry made it. */
  by: Schema.String,
})
export type Header = typeof Header.Type

const End = Schema.Struct({
  end: Schema.Literal(true),
  counts: Schema.Record(Schema.String, Schema.Int),
  digest: Schema.String,
})

const Record = Schema.toCodecJson(StateRecord.StateRecord)
const encodeRecord = Schema.encodeSync(Record)
const decodeRecord = Schema.decodeUnknownEffect(Record, { onExcessProperty: "error" })
const decodeHeader = Schema.decodeUnknownEffect(Header)
const decodeEnd = Schema.decodeUnknownEffect(End)

type Counts = Readonly<Partial<{ [name: string]: number }>>

/** The lines of a file, a page at a time. `onPage` is told how many records there were so far. */
export const lines = <E>(
  header: Omit<Header, "belfry" | "version">,
  records: Stream.Stream<StateRecord.StateRecord, E>,
  onPage: (count: number) => void,
): Stream.Stream<string, E> =>
  Stream.suspend(() => {
    const digest = createHash("sha256")
    const counts: Record<string, number> = {}
    let count = 0
    const said = (text: string) => {
      digest.update(text)
      return text
    }
    const first = said(line({ belfry: "export", version: StateRecord.version, ...header }))
    const page = (some: ReadonlyArray<StateRecord.StateRecord>) => {
      let text = ""
      for (const record of some) {
        counts[record._tag] = (counts[record._tag] ?? 0) + 1
        text += line(encodeRecord(record))
      }
      onPage(count += some.length)
      return said(text)
    }
    return Stream.make(first).pipe(
      Stream.concat(Stream.mapArray(records, (some) => [page(some)] as const)),
      Stream.concat(
        Stream.suspend(() =>
          Stream.make(line({ end: true, counts, digest: digest.digest("hex") }))
        ),
      ),
    )
  })

const line = (document: unknown): string => `${JSON.stringify(document)}\n`

/** No line is longer: a payload, its result, a checkpoint and a long journal find room. */
const lineMax = 64 * 1024 * 1024

/** The records in the bytes of a file, which are all there only if this ends without an error. */
export const records = <E>(
  bytes: Stream.Stream<Uint8Array, E>,
  onHeader: (header: Header) => void,
  onPage: (count: number) => void,
): Stream.Stream<StateRecord.StateRecord, E | Problem> =>
  Stream.suspend(() => {
    const digest = createHash("sha256")
    const decoder = new TextDecoder("utf-8", { fatal: true })
    const counts: Record<string, number> = {}
    let rest = ""
    let nth = 0
    let count = 0
    let hasEnded = false

    const take = Effect.fnUntraced(function* (text: string) {
      nth++
      const document = yield* Effect.try({
        try: () => JSON.parse(text) as unknown,
        catch: () =>
          nth === 1 ? foreign("its first line is no JSON") : broken(nth, "it is no JSON"),
      })
      if (hasEnded) return yield* broken(nth, "there is a line after the end")
      if (nth === 1) {
        const header = yield* Effect.mapError(decodeHeader(document), () => foreign("no header"))
        if (header.version > StateRecord.version) return yield* newer(header)
        digest.update(`${text}\n`)
        return onHeader(header)
      }
      if (typeof document === "object" && document !== null && "end" in document) {
        const end = yield* Effect.mapError(decodeEnd(document), () => broken(nth, "its end"))
        if (end.digest !== digest.digest("hex")) return yield* changed
        if (!isEqual(end.counts, counts)) return yield* changed
        hasEnded = true
        return
      }
      digest.update(`${text}\n`)
      const record = yield* Effect.mapError(
        decodeRecord(document),
        (error) => broken(nth, error.message.split("\n").join(" ")),
      )
      counts[record._tag] = (counts[record._tag] ?? 0) + 1
      return record
    })

    const linesOf = (
      chunk: Uint8Array | undefined,
    ): Effect.Effect<ReadonlyArray<string>, Problem> =>
      Effect.try({
        try: () => {
          const parts = (rest + decoder.decode(chunk, { stream: chunk !== undefined })).split("\n")
          rest = parts.pop()!
          if (rest.length > lineMax) throw new Error("a line is too long")
          return parts
        },
        catch: (error) => broken(nth + 1, (error as Error).message),
      })

    const recordsOf = Effect.fnUntraced(function* (chunk: Uint8Array) {
      const some: Array<StateRecord.StateRecord> = []
      for (const text of yield* linesOf(chunk)) {
        const record = yield* take(text)
        if (record !== undefined) some.push(record)
      }
      onPage(count += some.length)
      return some
    })

    const ending = Effect.gen(function* () {
      yield* linesOf(undefined)
      if (nth === 0 && rest === "") return yield* foreign("it is empty")
      if (!hasEnded || rest !== "") return yield* cutOff(nth)
    })

    return bytes.pipe(
      Stream.mapEffect(recordsOf),
      Stream.flattenIterable,
      Stream.rechunk(pageMax),
      Stream.concat(Stream.drain(Stream.fromEffect(ending))),
    )
  })

const isEqual = (a: Counts, b: Counts): boolean =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => a[name] === b[name])

const again = "export again, and take care that all of the file arrives, unchanged"

const foreign = (what: string) =>
  new Problem({
    kind: "failed",
    what: `this is no export of Belfry: ${what}`,
    fix: "name a file that `belfry export` has made",
  })

const newer = ({ by, version }: Header) =>
  new Problem({
    kind: "failed",
    what: `the file has version ${version}, made by Belfry ${by}; this one knows versions up to ` +
      `${StateRecord.version}`,
    fix: "import it with the newer Belfry",
  })

const broken = (nth: number, why: string) =>
  new Problem({
    kind: "failed",
    what: `line ${nth} of the file cannot be read: ${why.slice(0, 300)}`,
    fix: again,
  })

const cutOff = (nth: number) =>
  new Problem({
    kind: "failed",
    what: `the file ends after line ${nth} without its end: it was cut off`,
    fix: again,
  })

const changed = new Problem({
  kind: "failed",
  what: "the file is not as it was written: its digest or its counts are others",
  fix: again,
})

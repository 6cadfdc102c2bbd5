/** Moves all that a storage keeps into a file, and out of it. */
import { Context, Effect, Layer, Option, type Redacted, Stream } from "effect"
import * as fs from "node:fs"
import { join } from "node:path"
import { Refused } from "../../core/domain/Refused.ts"
import type { Counts, StateRecord } from "../../core/domain/StateRecord.ts"
import { counted } from "../../core/domain/Transfer.ts"
import { Storage } from "../../core/services/Storage.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { type Backing, database, storage, words } from "../layers.ts"
import * as Output from "../Output.ts"
import * as Place from "../Place.ts"
import { Problem } from "../Problem.ts"
import * as TransferFile from "../TransferFile.ts"
import { version } from "../version.ts"

export interface Given {
  /** `-` for standard output, or input. */
  readonly file: string
  readonly sqlite: Option.Option<string>
  readonly databaseUrl: Option.Option<Redacted.Redacted<string>>
  readonly json: boolean
}

export const exportTo = Effect.fnUntraced(function* (given: Given) {
  const { file } = given
  const backing = yield* backingOf(given, Effect.succeed(Place.find() ?? Place.name))
  if (backing._tag === "Sqlite" && !fs.existsSync(backing.file)) {
    return yield* new Problem({
      kind: "notFound",
      what: `there is no SQLite file ${backing.file}`,
      fix: "name it with --sqlite, or a database with --database-url",
    })
  }
  if (file !== "-" && fs.existsSync(file)) {
    return yield* new Problem({
      kind: "notFound",
      what: `${file} exists already`,
      fix: "name another file, or remove this one",
    })
  }
  const progress = new Progress("exported")
  let counts: Counts = {}
  let here = 0
  yield* opened(backing, ({ now, technology, transfer }) =>
    Effect.gen(function* () {
      const lines = TransferFile.lines(
        { technology, at: yield* now, by: version },
        Stream.mapArray(transfer.export, (some) => {
          counts = counted(counts, some)
          here += some.filter(isHere).length
          return some
        }),
        (count) => progress.show(count),
      )
      yield* file === "-" ? toStandardOutput(lines) : toFile(file, lines)
    }))
  progress.end()
  if (here > 0) {
    Output.talk(
      `! ${here} executors and servers are at work: what is done from now on is not in the export. ` +
        "To move, end executors and servers, then export",
    )
  }
  const document = { file, storage: words(backing), counts, atWork: here }
  // Standard output has the export itself.
  if (given.json && file === "-") Output.talk(JSON.stringify(document))
  else if (given.json) Output.printJson(document)
  else Output.talk(`exported ${told(counts)} from ${words(backing)}`)
})

export const importFrom = Effect.fnUntraced(function* (given: Given) {
  const { file } = given
  if (file !== "-" && !fs.existsSync(file)) {
    return yield* new Problem({
      kind: "notFound",
      what: `there is no file ${file}`,
      fix: "name one that `belfry export` has made, or - for standard input",
    })
  }
  const backing = yield* backingOf(given, Place.open)
  const progress = new Progress("read")
  let from: TransferFile.Header | undefined
  const counts = yield* opened(backing, ({ transfer }) =>
    transfer.import(TransferFile.records(
      Stream.fromAsyncIterable<Uint8Array, Problem>(
        file === "-" ? process.stdin : fs.createReadStream(file),
        unreadable(file),
      ),
      (header) => {
        from = header
      },
      (count) => progress.show(count),
    )))
  progress.end()
  const { at, technology } = from!
  const exportedAt = new Date(at).toISOString()
  if (given.json) {
    return Output.printJson({ file, storage: words(backing), counts, from: technology, exportedAt })
  }
  Output.talk(
    `imported ${told(counts)} into ${words(backing)}, as ${technology} had it at ${exportedAt}`,
  )
})

const backingOf = (
  given: Given,
  folder: Effect.Effect<string, Problem>,
): Effect.Effect<Backing, Problem> => {
  if (Option.isSome(given.sqlite)) {
    return Option.isSome(given.databaseUrl)
      ? Effect.fail(
        new Problem({ kind: "usage", what: "--sqlite and --database-url exclude each other" }),
      )
      : Effect.succeed({ _tag: "Sqlite", file: given.sqlite.value })
  }
  return Effect.flatMap(
    database(given.databaseUrl),
    (url): Effect.Effect<Backing, Problem> =>
      url !== undefined
        ? Effect.succeed({ _tag: "Postgres", url })
        : Effect.map(folder, (at) => ({ _tag: "Sqlite", file: join(at, "belfry.db") })),
  )
}

/** What goes wrong with the storage is a problem. */
const opened = <A, E>(
  backing: Backing,
  use: (storage: Storage["Service"]) => Effect.Effect<A, E>,
): Effect.Effect<A, Problem | Exclude<E, StorageUnavailable | Refused>> =>
  Effect.scoped(Effect.flatMap(
    Layer.build(storage(backing)),
    (context) => Effect.mapError(use(Context.get(context, Storage)), explained(backing)),
  ))

const explained = (backing: Backing) => <E>(error: E) => {
  if (error instanceof StorageUnavailable) {
    return new Problem({
      kind: backing._tag === "Postgres" ? "unreachable" : "failed",
      what: `${words(backing)}: ${error.message}`,
      fix: "nothing was imported, and what was exported is not whole: do it again",
    })
  }
  if (error instanceof Refused) {
    return new Problem({
      // A conflict, as with a key that is taken.
      kind: error.field === "storage" ? "notFound" : "failed",
      what: `${words(backing)}: ${error.reason}`,
      fix: error.remedy,
    })
  }
  return error as Exclude<E, StorageUnavailable | Refused>
}

const unreadable = (file: string) => (cause: unknown) =>
  new Problem({
    kind: "failed",
    what: `${file} cannot be read: ${(cause as Error).message}`,
    fix: "see that it is a file, and that you may read it",
  })

const unwritable = (file: string) => (cause: unknown) =>
  new Problem({
    kind: "failed",
    what: `${file} cannot be written: ${(cause as Error).message}`,
    fix: "see that there is room, and that you may write there",
  })

/** Whole or not at all, and for its owner only, as payloads are nobody else's business. */
const toFile = <E>(file: string, lines: Stream.Stream<string, E>) =>
  Effect.scoped(Effect.gen(function* () {
    const making = `${file}.${process.pid}.partial`
    const io = <A>(act: () => Promise<A>) =>
      Effect.tryPromise({ try: act, catch: unwritable(file) })
    const handle = yield* Effect.acquireRelease(
      io(() => fs.promises.open(making, "wx", 0o600)),
      (handle) =>
        Effect.promise(async () => {
          await handle.close().catch(() => {})
          await fs.promises.rm(making, { force: true })
        }),
    )
    yield* Stream.runForEach(lines, (text) => io(() => handle.appendFile(text)))
    yield* io(() => handle.sync())
    yield* io(() => fs.promises.rename(making, file))
  }))

const toStandardOutput = <E>(lines: Stream.Stream<string, E>) =>
  Stream.runForEach(lines, (text) =>
    Effect.callback<void, Problem>((resume) => {
      process.stdout.write(text, (error) =>
        resume(error ? Effect.fail(unwritable("standard output")(error)) : Effect.void))
    }))

const isHere = (record: StateRecord): boolean =>
  record._tag === "Executor" && (record.standing === "live" || record.standing === "draining")

const told = ({ Executor, Lock, Run, Task, Trigger }: Counts): string =>
  [[Run, "runs"], [Task, "tasks"], [Trigger, "triggers"], [Executor, "executors"], [Lock, "locks"]]
    .map(([count = 0, what]) => `${count} ${what}`).join(", ")

/** How far it is, on a terminal. */
class Progress {
  private readonly verb: string
  private shownAt = 0

  constructor(verb: string) {
    this.verb = verb
  }

  show(count: number): void {
    const now = performance.now()
    if (process.stderr.isTTY !== true || now - this.shownAt < 100) return
    this.shownAt = now
    process.stderr.write(`\r\u001b[K${this.verb} ${count} records`)
  }

  end(): void {
    if (this.shownAt > 0) process.stderr.write("\r\u001b[K")
  }
}

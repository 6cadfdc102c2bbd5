/**
 * Export from a SQLite file, and import into it: see `TransferStorage` for the laws.
 *
 * An export reads one snapshot on a connection of its own, which holds up nobody. An import is one
 * transaction on a connection of its own: until its commit nobody sees any of it, and whoever wants
 * to write to the file meanwhile has to wait, or finds it locked for too long. A database in memory
 * has but one connection, so there either is done in one go.
 */
import { Effect, Option, Stream } from "effect"
import { Refused } from "../../core/domain/Refused.ts"
import type { Counts, StateRecord } from "../../core/domain/StateRecord.ts"
import { contradictory } from "../../core/domain/Transfer.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { pageMax, type TransferStorage } from "../../core/services/TransferStorage.ts"
import { Connection } from "./Connection.ts"
import type { Database } from "./Database.ts"
import { Names } from "./Names.ts"
import { openFile, openReader } from "./OpenFile.ts"
import { patiently } from "./Patience.ts"
import { failed, isConstraint, unavailable } from "./SqliteError.ts"
import { pages } from "./transfer/Export.ts"
import { Import } from "./transfer/Import.ts"

export const make = (db: Database): TransferStorage => ({
  export: db.file === undefined
    ? Stream.unwrap(Effect.map(
      db.read("export", () => [...pages(db, db.now())]),
      (all) => Stream.fromIterable(all.flat(), { chunkSize: pageMax }),
    ))
    : fromFile(db, db.file),
  import: (records) => db.file === undefined ? atOnce(db, records) : intoFile(db, db.file, records),
})

const fromFile = (
  db: Database,
  file: string,
): Stream.Stream<StateRecord, StorageUnavailable> =>
  Stream.unwrap(Effect.gen(function* () {
    const at = yield* Effect.acquireRelease(
      Effect.try({
        try: () => new Connection(openReader(file)),
        catch: (error) => unavailable("export", error),
      }),
      (at) => Effect.sync(() => at.close()),
    )
    const rest = pages(at, db.now())
    const next = Effect.try({ try: () => rest.next(), catch: (error) => error })
    // The first page is read with the first of the snapshot, which others may keep us from.
    const first = yield* patiently(
      "export",
      Effect.andThen(Effect.try({ try: () => at.prepare("BEGIN").run(), catch: (e) => e }), next),
    )
    return Stream.paginate(first, (page: typeof first) =>
      page.done === true ? Effect.succeed([[], Option.none()] as const) : Effect.map(
        Effect.andThen(
          Effect.yieldNow,
          Effect.catch(next, (error) =>
            failed("export", error)),
        ),
        (after) => [page.value, Option.some(after)] as const,
      ))
  }))

const intoFile = <E>(
  db: Database,
  file: string,
  records: Stream.Stream<StateRecord, E>,
): Effect.Effect<Counts, E | Refused | StorageUnavailable> =>
  Effect.scoped(Effect.gen(function* () {
    const at = new Connection(yield* openFile(file))
    yield* Effect.addFinalizer(() => Effect.sync(() => at.rollback()))
    const said = <A>(act: () => A) => Effect.try({ try: act, catch: (error) => error })
    yield* patiently("import", said(() => at.prepare("BEGIN IMMEDIATE").run()))
    const into = new Import(at, new Names(at))
    const refusal = into.refusal()
    if (refusal !== undefined) return yield* refusal
    yield* Stream.runForEachArray(records, (some) =>
      Effect.andThen(
        Effect.yieldNow,
        Effect.catch(said(() => into.add(some, db.now())), (error) => notTaken(error)),
      ))
    yield* Effect.catch(
      said(() => {
        into.finish(db.now())
        at.prepare("COMMIT").run()
      }),
      (error) => notTaken(error),
    )
    return into.counts
  }))

/** A broken constraint tells of the records, not of us. */
const notTaken = (error: unknown): Effect.Effect<never, Refused | StorageUnavailable> =>
  error instanceof Error && isConstraint(error)
    ? Effect.fail(contradictory(error.message))
    : failed("import", error)

const atOnce = <E>(
  db: Database,
  records: Stream.Stream<StateRecord, E>,
): Effect.Effect<Counts, E | Refused | StorageUnavailable> =>
  Effect.gen(function* () {
    const all = yield* Stream.runCollect(records)
    const answer = yield* db.write("import", (tx) => {
      // Numbers that are rolled back are forgotten with these names.
      const into = new Import(db, new Names(db))
      const refusal = into.refusal()
      if (refusal !== undefined) return refusal
      db.sqlite.exec("SAVEPOINT import")
      try {
        into.add(all, tx.now)
        into.finish(tx.now)
        return into.counts
      } catch (error) {
        if (!isConstraint(error)) throw error
        db.sqlite.exec("ROLLBACK TO import")
        return contradictory((error as Error).message)
      }
    })
    return answer instanceof Refused ? yield* answer : answer
  })

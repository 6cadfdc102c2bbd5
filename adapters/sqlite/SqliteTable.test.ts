/** The laws of a source, kept by a table in SQLite. Tried, and caught: `>=` for `>` (E1). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SourceContract from "../../core/contract/SourceContract.ts"
import { table } from "./SqliteTable.ts"

const fresh = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-table-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
  )
  const file = join(folder, "shop.db")
  const db = yield* Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(file)),
    (db) => Effect.sync(() => db.close()),
  )
  db.exec("CREATE TABLE orders (nr INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER, picture BLOB)")
  return { db, file }
})

SourceContract.suite(
  "table in sqlite",
  Layer.empty,
  Effect.map(fresh, ({ db, file }) => ({
    source: table({ file, table: "orders" }),
    append: (...numbers: ReadonlyArray<number>) =>
      Effect.sync(() => {
        for (const n of numbers) db.prepare("INSERT INTO orders (n) VALUES (?)").run(n)
      }),
  })),
  { runner: "live" },
)

describe("a table in SQLite", () => {
  it.live("E2 nothing late: a row that is not committed is not seen, and comes when it is", () =>
    Effect.gen(function* () {
      const { db, file } = yield* fresh
      db.exec("PRAGMA journal_mode = wal; INSERT INTO orders (n) VALUES (1)")
      const reader = yield* table({ file, table: "orders" }).open
      db.exec("BEGIN IMMEDIATE; INSERT INTO orders (n) VALUES (2)")
      const first = yield* SourceContract.readAll(reader, "")
      assert.deepEqual(SourceContract.numbersOf(first.entries), [1])
      db.exec("COMMIT")
      const second = yield* SourceContract.readAll(reader, first.to)
      assert.deepEqual(SourceContract.numbersOf(second.entries), [2])
    }).pipe(Effect.scoped))

  it.live("E5 no silent gap: one that was made anew says so, and deleted rows are not given twice", () =>
    Effect.gen(function* () {
      const { db, file } = yield* fresh
      const reader = yield* table({ file, table: "orders" }).open
      db.exec("INSERT INTO orders (n) VALUES (1), (2)")
      const { to } = yield* SourceContract.readAll(reader, "")
      db.exec("DELETE FROM orders; INSERT INTO orders (n, picture) VALUES (3, x'0102')")
      const { entries: [entry] } = yield* reader.read(to, 10)
      assert.deepEqual(entry, { position: "3", value: { nr: 3, n: 3, picture: "AQI=" } })
      db.exec("DELETE FROM orders; DELETE FROM sqlite_sequence")
      const failed = yield* Effect.flip(reader.read(to, 10))
      assert.match(failed.message, /made anew/)
    }).pipe(Effect.scoped))

  it.live("E5 no silent gap: numbers keep their digits, as text where they are no number here", () =>
    Effect.gen(function* () {
      const { db, file } = yield* fresh
      const reader = yield* table({ file, table: "orders" }).open
      db.exec(
        "INSERT INTO orders (n) VALUES (9007199254740991), (9007199254740993), (-9223372036854775808)",
      )
      const { entries } = yield* reader.read("", 10)
      assert.deepStrictEqual(
        entries.map((entry) => (entry as { value: { n: unknown } }).value.n),
        [9007199254740991, "9007199254740993", "-9223372036854775808"],
      )
    }).pipe(Effect.scoped))

  it.live("whose numbers may be given twice is refused, and one that is not there", () =>
    Effect.gen(function* () {
      const { db, file } = yield* fresh
      db.exec("CREATE TABLE plain (id INTEGER PRIMARY KEY)")
      const plain = yield* Effect.flip(table({ file, table: "plain" }).open)
      assert.match(plain.message, /AUTOINCREMENT/)
      const none = yield* Effect.flip(table({ file, table: "nothing" }).open)
      assert.match(none.message, /no such table/)
      const gone = yield* Effect.flip(table({ file: `${file}.gone`, table: "orders" }).open)
      assert.match(gone.message, /unable to open/)
    }).pipe(Effect.scoped))
})

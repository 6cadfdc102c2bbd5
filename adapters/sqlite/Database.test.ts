import { assert, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { spawnSync } from "node:child_process"
import { chmodSync, copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Database from "./Database.ts"
import { steps } from "./migrations/mod.ts"
import { freshFile, freshFolder } from "./fresh.fixture.ts"

const open = (file: string) => Effect.flatMap(Clock.Clock, (clock) => Database.open(file, clock))

const insert = (key: string) => ({ db }: Database.Transaction) =>
  db.run("INSERT INTO meta VALUES (?, 1)", key)
const keys = (db: Database.Database) =>
  Effect.map(
    db.read("keys", () => db.all<{ key: string }>("SELECT key FROM meta ORDER BY key")),
    (rows) => rows.map(({ key }) => key).filter((key) => key.length === 1),
  )

it.effect("commits together what is written at once, and answers after the commit", () =>
  Effect.gen(function* () {
    const db = yield* open(yield* freshFile)
    const other = yield* open(db.sqlite.location()!)
    const before = other.get<{ data_version: number }>("PRAGMA data_version")!.data_version
    let commits = 0
    db.listeners.add(() => commits++)
    const seen = yield* Effect.all(
      ["a", "b", "c"].map((key) =>
        Effect.andThen(
          db.write("insert", (tx) => {
            tx.hint("triggers")
            insert(key)(tx)
          }),
          keys(other),
        )
      ),
      { concurrency: "unbounded" },
    )
    assert.deepEqual(seen, [["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c"]])
    assert.strictEqual(commits, 1)
    const after = other.get<{ data_version: number }>("PRAGMA data_version")!.data_version
    assert.isAbove(after, before)
  }))

it.effect("a command that fails takes nobody with it", () =>
  Effect.gen(function* () {
    const db = yield* open(":memory:")
    const fail = () => {
      throw new Error("our bug")
    }
    const exits = yield* Effect.all(
      [insert("a"), fail, insert("b"), insert("a"), insert("c")].map((command) =>
        Effect.exit(db.write<unknown>("insert", command))
      ),
      { concurrency: "unbounded" },
    )
    assert.deepEqual(exits.map(Exit.isSuccess), [true, false, true, false, true])
    assert.deepEqual(yield* keys(db), ["a", "b", "c"])
  }))

it.effect("a command that nobody waits for any more is not carried out", () =>
  Effect.gen(function* () {
    const db = yield* open(":memory:")
    const fiber = yield* Effect.forkChild(db.write("insert", insert("a")), {
      startImmediately: true,
    })
    fiber.interruptUnsafe()
    yield* Fiber.await(fiber)
    yield* db.write("insert", insert("b"))
    assert.deepEqual(yield* keys(db), ["b"])
  }))

it.live("many commands do not hold the loop for long", () =>
  Effect.gen(function* () {
    const db = yield* open(":memory:")
    let commits = 0
    db.listeners.add(() => commits++)
    const slow = (tx: Database.Transaction) => {
      tx.hint("triggers")
      const end = performance.now() + 3
      while (performance.now() < end);
    }
    yield* Effect.all(Array.from({ length: 10 }, () => db.write("slow", slow)), {
      concurrency: "unbounded",
    })
    assert.isAtLeast(commits, 3)
  }))

it.live("waits for another process that writes, and says so when it takes too long", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    const db = yield* open(file)
    const other = new DatabaseSync(file)
    other.exec("BEGIN IMMEDIATE")
    const write = yield* Effect.forkChild(db.write("insert", insert("a")))
    yield* Effect.sleep(50)
    assert.deepEqual(yield* keys(db), [], "whoever reads does not wait")
    other.exec("COMMIT")
    yield* Fiber.join(write)
    other.exec("BEGIN IMMEDIATE")
    const failure = yield* Effect.flip(db.write("insert", insert("b")))
    assert.include(failure.message, "another process has kept the file locked")
    other.exec("ROLLBACK")
    other.close()
    yield* db.write("insert", insert("c"))
    assert.deepEqual(yield* keys(db), ["a", "c"])
  }))

it.effect("a full disk is an outage, and what was kept before stays", () =>
  Effect.gen(function* () {
    const db = yield* open(yield* freshFile)
    yield* db.write("insert", insert("a"))
    const { page_count } = db.get<{ page_count: number }>("PRAGMA page_count")!
    db.sqlite.exec(`PRAGMA max_page_count = ${page_count}`)
    const failure = yield* Effect.flip(
      db.write("insert", insert("x".repeat(100_000))),
    )
    assert.strictEqual(failure._tag, "StorageUnavailable")
    assert.include(failure.message, "full")
    db.sqlite.exec("PRAGMA max_page_count = 1000000")
    yield* db.write("insert", insert("b"))
    assert.deepEqual(yield* keys(db), ["a", "b"])
  }))

/** A privileged user writes where nobody may, so the test takes another user's place if it can. */
const withoutPrivileges = process.getuid?.() === 0 && process.platform === "linux"

for (const which of ["file", "folder"] as const) {
  it.effect(`a ${which} that may not be written is an outage with its reason, until it may`, () =>
    Effect.gen(function* () {
      const file = yield* freshFile
      yield* Effect.scoped(open(file))
      chmodSync(file, which === "file" ? 0o444 : 0o666)
      chmodSync(dirname(file), which === "file" ? 0o777 : 0o555)
      if (withoutPrivileges) {
        const isRefused = spawnSync("true", { uid: 65534 }).error !== undefined
        if (isRefused) return
        process.seteuid!(65534)
      }
      const failure = yield* Effect.flip(Effect.scoped(open(file))).pipe(
        Effect.ensuring(Effect.sync(() => {
          if (withoutPrivileges) process.seteuid!(0)
          chmodSync(dirname(file), 0o755)
          chmodSync(file, 0o600)
        })),
      )
      assert.strictEqual(failure._tag, "StorageUnavailable")
      assert.include(failure.message, "let this user write the file and its folder")
      const db = yield* open(file)
      yield* db.write("insert", insert("a"))
    }))
}

it.effect("a file that was damaged is refused, with the remedy", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    yield* Effect.scoped(open(file))
    const bytes = readFileSync(file)
    // The header is as it was, and what it leads to is not.
    writeFileSync(file, bytes.fill(0xa5, 200))
    const refused = yield* Effect.flip(Effect.scoped(open(file)))
    assert.strictEqual(refused._tag, "Refused")
    assert.include(refused.message, "is damaged")
    assert.include(refused.message, "Put a copy of it in its place")
  }))

it.effect("the log is taken over into the file while nobody writes", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    yield* Effect.scoped(open(file))
    const db = yield* open(file)
    for (let at = 0; at < 200; at++) yield* db.write("insert", insert(`key ${at}`))
    const alone = `${file}.alone`
    const keptIn = (copy: string) => {
      copyFileSync(file, copy)
      const sqlite = new DatabaseSync(copy)
      const { kept } = sqlite.prepare("SELECT count(*) AS kept FROM meta WHERE key LIKE 'key %'")
        .get() as { kept: number }
      sqlite.close()
      return kept
    }
    yield* TestClock.adjust(50)
    assert.strictEqual(keptIn(`${alone} 1`), 0)
    yield* TestClock.adjust(100)
    assert.strictEqual(keptIn(`${alone} 2`), 200)
    yield* db.write("insert", insert("a"))
    assert.deepEqual(yield* keys(db), ["a"])
  }))

it.effect("a file of an older version is brought up to date, with all that is in it", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    const sqlite = new DatabaseSync(file)
    sqlite.exec(steps[0]!)
    sqlite.exec("PRAGMA application_id = 0x426c6679")
    sqlite.exec("PRAGMA user_version = 1")
    sqlite.exec("INSERT INTO meta VALUES ('a', 1)")
    sqlite.close()
    const db = yield* open(file)
    assert.deepEqual(yield* keys(db), ["a"])
    const { user_version: version } = db.get<{ user_version: number }>("PRAGMA user_version")!
    assert.strictEqual(version, steps.length)
    assert.isDefined(db.get("SELECT 1 FROM sqlite_schema WHERE name = 'idempotency_run'"))
  }))

it.effect("a file of a newer version is refused, with the remedy", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    yield* Effect.scoped(open(file))
    const sqlite = new DatabaseSync(file)
    sqlite.exec("PRAGMA user_version = 99")
    sqlite.close()
    const refused = yield* Effect.flip(Effect.scoped(open(file)))
    assert.strictEqual(refused._tag, "Refused")
    assert.include(refused.message, "version 99, made by a newer Belfry")
    assert.include(refused.message, "Run the newer Belfry")
  }))

it.effect("a file of someone else is refused, and left as it is", () =>
  Effect.gen(function* () {
    const folder = yield* freshFolder
    const text = join(folder, "text")
    writeFileSync(text, "not a database at all, but a text of some length".repeat(100))
    assert.strictEqual((yield* Effect.flip(Effect.scoped(open(text))))._tag, "Refused")
    const foreign = join(folder, "foreign.db")
    const sqlite = new DatabaseSync(foreign)
    sqlite.exec("CREATE TABLE song (title TEXT)")
    sqlite.close()
    const size = statSync(foreign).size
    assert.strictEqual((yield* Effect.flip(Effect.scoped(open(foreign))))._tag, "Refused")
    assert.strictEqual(statSync(foreign).size, size)
  }))

it.live("opens in less than 50 ms, and for its owner's eyes only", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    yield* Effect.scoped(open(file))
    const times: Array<number> = []
    for (let i = 0; i < 5; i++) {
      const start = performance.now()
      yield* Effect.scoped(open(file))
      times.push(performance.now() - start)
    }
    assert.isBelow(Math.min(...times), 50)
    if (process.platform !== "win32") assert.strictEqual(statSync(file).mode & 0o777, 0o600)
  }))

it.live("several open a new file at once", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    const all = yield* Effect.all(Array.from({ length: 5 }, () => open(file)), {
      concurrency: "unbounded",
    })
    yield* Effect.forEach(all, (db, at) => db.write("insert", insert(`${at}`)), {
      concurrency: "unbounded",
    })
    assert.deepEqual(yield* keys(all[0]!), ["0", "1", "2", "3", "4"])
  }))

it.effect("a closed database answers that it is closed", () =>
  Effect.gen(function* () {
    const db = yield* Effect.scoped(open(":memory:"))
    const failure = yield* Effect.flip(db.write("insert", insert("a")))
    assert.include(failure.message, "closed")
    assert.include((yield* Effect.flip(db.read("keys", () => 1))).message, "closed")
  }))

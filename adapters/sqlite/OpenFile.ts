/**
 * Opens a SQLite file as ours: made if it does not exist, brought up to date, and left as it is when
 * it is somebody else's or a newer version's.
 */
import { Effect, type Scope } from "effect"
import { closeSync, mkdirSync, openSync } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Refused } from "../../core/domain/Refused.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { steps } from "./migrations/mod.ts"
import { patiently } from "./Patience.ts"
import { isDamaged, isForeign, unavailable } from "./SqliteError.ts"

/** "Blfy", by which `file` and SQLite tell our files from others. */
const applicationId = 0x426c6679

/** A write that would otherwise pay for the checkpoint finds it done, as a rule: see `Flusher`. */
const checkpointPages = 4000

/** The connection is closed with the scope. */
export const openFile = (
  file: string,
): Effect.Effect<DatabaseSync, Refused | StorageUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const sqlite = yield* Effect.acquireRelease(
      Effect.try({ try: () => connect(file), catch: (error) => unavailable("open", error) }),
      (sqlite) => Effect.sync(() => sqlite.isOpen && sqlite.close()),
    )
    // Several processes may open a new file at once, and all but one find it busy for a moment.
    const refusal = yield* patiently(
      "open",
      Effect.try({ try: () => prepare(sqlite, file), catch: (error) => error }),
    )
    return refusal === undefined ? sqlite : yield* refusal
  })

/** A further connection to a file of ours, which only reads. */
export const openReader = (file: string): DatabaseSync => {
  const sqlite = new DatabaseSync(file)
  sqlite.exec("PRAGMA busy_timeout = 0")
  sqlite.exec("PRAGMA query_only = ON")
  sqlite.exec("PRAGMA cache_size = -16384")
  return sqlite
}

const connect = (file: string): DatabaseSync => {
  if (file !== ":memory:") {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    makePrivate(file)
  }
  return new DatabaseSync(file)
}

/** Payloads are nobody else's business. SQLite gives its side files the same mode. */
const makePrivate = (file: string): void => {
  try {
    closeSync(openSync(file, "wx", 0o600))
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error
  }
}

const prepare = (sqlite: DatabaseSync, file: string): Refused | undefined => {
  try {
    sqlite.exec("PRAGMA busy_timeout = 0")
    const refusal = refusalOf(sqlite, file)
    if (refusal !== undefined) return refusal
    const { journal_mode: mode } = sqlite.prepare("PRAGMA journal_mode = WAL").get()!
    if (mode !== "wal" && mode !== "memory") return unsharable(file)
    // Each commit is on the disk before it is acknowledged (S1).
    sqlite.exec("PRAGMA synchronous = FULL")
    sqlite.exec("PRAGMA cache_size = -65536")
    sqlite.exec("PRAGMA temp_store = MEMORY")
    sqlite.exec("PRAGMA journal_size_limit = 67108864")
    sqlite.exec(`PRAGMA wal_autocheckpoint = ${checkpointPages}`)
    migrate(sqlite)
    return undefined
  } catch (error) {
    if (sqlite.isTransaction) sqlite.exec("ROLLBACK")
    if (isForeign(error)) return foreign(file)
    if (isDamaged(error)) return damaged(file)
    throw error
  }
}

const pragma = (sqlite: DatabaseSync, name: string): number =>
  Object.values(sqlite.prepare(`PRAGMA ${name}`).get() ?? {})[0] as number

const refusalOf = (sqlite: DatabaseSync, file: string): Refused | undefined => {
  const isEmpty = sqlite.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined
  if (isEmpty) return undefined
  if (pragma(sqlite, "application_id") !== applicationId) return foreign(file)
  const version = pragma(sqlite, "user_version")
  if (version <= steps.length) return undefined
  return new Refused({
    field: "file",
    reason: `${file} has version ${version}, made by a newer Belfry; ` +
      `this one knows versions up to ${steps.length}`,
    remedy: "Run the newer Belfry, or use another file",
  })
}

const foreign = (file: string): Refused =>
  new Refused({
    field: "file",
    reason: `${file} is not a database of Belfry`,
    remedy: "Name a file that does not exist yet, or one that Belfry has made",
  })

const damaged = (file: string): Refused =>
  new Refused({
    field: "file",
    reason: `${file} is damaged: what is in it is not what was written`,
    remedy: "Put a copy of it in its place, or name another file",
  })

const unsharable = (file: string): Refused =>
  new Refused({
    field: "file",
    reason: `the file system of ${file} has no write-ahead log, which needs shared memory`,
    remedy: "Use a file on a local disk",
  })

const migrate = (sqlite: DatabaseSync): void => {
  sqlite.exec("BEGIN IMMEDIATE")
  const from = pragma(sqlite, "user_version")
  // Another process may have done it since.
  for (let version = from; version < steps.length; version++) sqlite.exec(steps[version]!)
  // Also when there is nothing to do: a file that may not be written says so only here.
  sqlite.exec(`PRAGMA application_id = ${applicationId}`)
  sqlite.exec(`PRAGMA user_version = ${steps.length}`)
  sqlite.exec(from < steps.length ? "COMMIT" : "ROLLBACK")
}

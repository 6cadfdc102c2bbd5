/**
 * One SQLite file, open in this process: its statements, its transactions, its errors.
 *
 * `node:sqlite` is synchronous, so a transaction runs from begin to commit in one go, and no two of
 * one process ever overlap. What several fibers want to write at once is committed together:
 *
 * 1. `write` queues a command. The flusher, one fiber, takes what is queued into one transaction,
 *    for as long as a bounded time lasts, and commits.
 * 2. Nobody is answered, and no hint is given, before the commit that has made it durable.
 * 3. A command that fails takes nobody with it: the transaction is rolled back, and its commands are
 *    carried out again, each in a transaction of its own. So a command may be called twice, and
 *    leaves no trace but in the database and in its `Transaction`.
 * 4. Another process may hold the write lock. SQLite's own waiting would block every fiber of this
 *    one, so `busy_timeout` is 0 and the flusher tries again after a pause on the Effect clock.
 */
import { type Clock, Duration, Effect, Latch, Random, type Scope } from "effect"
import { closeSync, mkdirSync, openSync } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import { Refused } from "../../core/domain/Refused.ts"
import type { StateName } from "../../core/domain/Run.ts"
import * as RunId from "../../core/domain/RunId.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Topic } from "../../core/services/Wakeups.ts"
import { between, type Sighting } from "../../core/domain/ClockStep.ts"
import * as ClockStep from "./ClockStep.ts"
import { steps } from "./migrations/mod.ts"

/** A transaction takes no further command after this long, so that other fibers come to their turn. */
const flushMillis = 8
/** Other processes hold the write lock for milliseconds; one that keeps it this long is stuck. */
const busyMillis = 5000
/** "Blfy", by which `file` and SQLite tell our files from others. */
const applicationId = 0x426c6679

export type Value = SQLInputValue
export type Row = Record<string, unknown>

interface Command {
  readonly operation: string
  readonly carryOut: (tx: Transaction) => unknown
  readonly answer: (
    effect: Effect.Effect<never, StorageUnavailable> | Effect.Effect<unknown>,
  ) => void
}

/** What a command may use: the database within a transaction, and what is done at its commit. */
export class Transaction {
  readonly db: Database
  /** One instant for all that happens in it. */
  readonly now: number
  readonly topics = new Set<Topic>()
  private readonly tallies = new Map<string, Map<number, number>>()
  private firstId = 0
  private lastId = 0

  constructor(db: Database, now: number) {
    this.db = db
    this.now = now
  }

  nextRunId(): RunId.RunId {
    if (this.lastId === 0) {
      this.firstId =
        this.db.get<{ value: number }>("SELECT value FROM meta WHERE key = 'run'")!.value
      this.lastId = this.firstId
    }
    const id = RunId.next(this.lastId, this.now)
    this.lastId = id
    return id
  }

  /** Counts runs of a kind into a state, or out of it. */
  tally(kind: number, state: StateName, change: number): void {
    const kinds = this.tallies.get(state)
    if (kinds === undefined) this.tallies.set(state, new Map([[kind, change]]))
    else kinds.set(kind, (kinds.get(kind) ?? 0) + change)
  }

  /** Given once the transaction is committed, to this process and others. */
  hint(topic: Topic): void {
    this.topics.add(topic)
  }

  /** Writes what was gathered; the last thing before the commit. */
  finish(): void {
    const { db } = this
    if (this.lastId !== this.firstId) {
      db.run("UPDATE meta SET value = ? WHERE key = 'run'", this.lastId)
    }
    for (const [state, kinds] of this.tallies) {
      for (const [kind, change] of kinds) {
        if (change === 0) continue
        const { changes } = db.run(
          "UPDATE tally SET runs = runs + ? WHERE kind = ? AND state = ?",
          change,
          kind,
          state,
        )
        if (changes === 0) db.run("INSERT INTO tally VALUES (?, ?, ?)", kind, state, change)
      }
    }
    if (!db.isShared || this.topics.size === 0) return
    const { value } = db.get<{ value: number }>(
      "UPDATE meta SET value = value + 1 WHERE key = 'hint' RETURNING value",
    )!
    for (const topic of this.topics) {
      db.run(
        "INSERT INTO hint VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET number = excluded.number",
        topic,
        value,
      )
    }
  }
}

export class Database {
  readonly sqlite: DatabaseSync
  readonly clock: Clock.Clock
  /** Whether other processes may have the file open too. */
  readonly isShared: boolean
  /** Told of the topics of each commit. */
  readonly listeners = new Set<(topics: ReadonlySet<Topic>) => void>()
  readonly wanted = Latch.makeUnsafe()
  private readonly statements = new Map<string, StatementSync>()
  private readonly tupled = new Map<string, StatementSync>()
  private readonly kinds = new Map<string, number>()
  private readonly lanes = new Map<string, number>()
  private pending: Array<Command> = []
  /** So many commands are carried out one by one, since one of them failed. */
  private singly = 0
  private isClosed = false
  /** The clock, as of the last commit. */
  private seen: Sighting
  /** By how much the clock was found set, until it was logged. */
  stepMillis = 0

  constructor(sqlite: DatabaseSync, clock: Clock.Clock, isShared: boolean) {
    this.sqlite = sqlite
    this.clock = clock
    this.isShared = isShared
    this.seen = this.sight()
  }

  /** The storage clock, which has no fractions. */
  readonly now = (): number => Math.floor(this.clock.currentTimeMillisUnsafe())

  private sight(): Sighting {
    const at = Number(this.clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    return { said: this.now(), at, error: 0 }
  }

  /** Statements are few, as no text is ever built from values, so all are kept. */
  prepare(sql: string): StatementSync {
    const known = this.statements.get(sql)
    if (known !== undefined) return known
    const made = this.sqlite.prepare(sql)
    this.statements.set(sql, made)
    return made
  }

  run(sql: string, ...values: ReadonlyArray<Value>): { readonly changes: number } {
    return this.prepare(sql).run(...values) as { changes: number }
  }

  get<A = Row>(sql: string, ...values: ReadonlyArray<Value>): A | undefined {
    return this.prepare(sql).get(...values) as A | undefined
  }

  all<A = Row>(sql: string, ...values: ReadonlyArray<Value>): Array<A> {
    return this.prepare(sql).all(...values) as Array<A>
  }

  /** Rows as arrays of their columns, which for many rows costs half of what objects do. */
  tuples<A extends ReadonlyArray<unknown>>(sql: string, ...values: ReadonlyArray<Value>): Array<A> {
    let statement = this.tupled.get(sql)
    if (statement === undefined) {
      statement = this.sqlite.prepare(sql)
      statement.setReturnArrays(true)
      this.tupled.set(sql, statement)
    }
    return statement.all(...values) as unknown as Array<A>
  }

  /** The number of a task, made if there is none; only within a transaction. */
  kindOf(namespace: string, task: string): number {
    return this.numberOf(this.kinds, `${namespace} ${task}`, () => {
      const known = this.get<{ id: number }>(
        "SELECT id FROM kind WHERE namespace = ? AND task = ?",
        namespace,
        task,
      )
      return known ?? this.get<{ id: number }>(
        "INSERT INTO kind (namespace, task) VALUES (?, ?) RETURNING id",
        namespace,
        task,
      )
    })
  }

  /** The number of a lane, made if there is none; only within a transaction. */
  laneOf(name: string): number {
    return this.numberOf(
      this.lanes,
      name,
      () =>
        this.get<{ id: number }>("SELECT id FROM lane WHERE name = ?", name) ??
          this.get<{ id: number }>("INSERT INTO lane (name) VALUES (?) RETURNING id", name),
    )
  }

  private numberOf(
    known: Map<string, number>,
    name: string,
    make: () => { readonly id: number } | undefined,
  ): number {
    const number = known.get(name)
    if (number !== undefined) return number
    const { id } = make()!
    if (known.size >= 10_000) known.clear()
    known.set(name, id)
    return id
  }

  /** Carries out `command` in a transaction that others may share, and answers after its commit. */
  write<A>(
    operation: string,
    command: (tx: Transaction) => A,
  ): Effect.Effect<A, StorageUnavailable> {
    return Effect.callback<A, StorageUnavailable>((resume) => {
      if (this.isClosed) return resume(Effect.fail(unavailable(operation, closed)))
      const queued: Command = {
        operation,
        carryOut: command,
        answer: resume as Command["answer"],
      }
      this.pending.push(queued)
      this.wanted.openUnsafe()
      return Effect.sync(() => {
        const at = this.pending.indexOf(queued)
        if (at >= 0) this.pending.splice(at, 1)
      })
    })
  }

  /** As of one snapshot. */
  read<A>(operation: string, query: () => A): Effect.Effect<A, StorageUnavailable> {
    const attempt = (deadline: number): Effect.Effect<A, StorageUnavailable> =>
      Effect.suspend(() => {
        if (this.isClosed) return Effect.fail(unavailable(operation, closed))
        try {
          this.prepare("BEGIN").run()
          const answer = query()
          this.prepare("COMMIT").run()
          return Effect.succeed(answer)
        } catch (error) {
          this.rollback()
          if (!isBusy(error)) return failed(operation, error)
          return performance.now() > deadline
            ? Effect.fail(unavailable(operation, error))
            : Effect.andThen(pause, attempt(deadline))
        }
      })
    return Effect.suspend(() => attempt(performance.now() + busyMillis))
  }

  get hasPending(): boolean {
    return this.pending.length > 0
  }

  /** Carries out and commits some of what is queued; false when another process writes. */
  flush(): boolean {
    try {
      this.prepare("BEGIN IMMEDIATE").run()
    } catch (error) {
      if (isBusy(error)) return false
      this.giveUp(error)
      return true
    }
    const commands = this.pending
    const tx = new Transaction(this, this.now())
    const answers: Array<unknown> = []
    const most = this.singly > 0 ? 1 : commands.length
    const seen = this.sight()
    const step = between(this.seen, seen)
    try {
      if (step !== 0) ClockStep.settle(tx, tx.now - step)
      const deadline = performance.now() + flushMillis
      while (answers.length < most) {
        answers.push(commands[answers.length]!.carryOut(tx))
        if (performance.now() > deadline) break
      }
      tx.finish()
      this.prepare("COMMIT").run()
    } catch (error) {
      this.rollback()
      if (most > 1) this.singly = Math.min(answers.length + 1, most)
      else for (const command of this.take(1)) command.answer(failed(command.operation, error))
      return true
    }
    this.seen = seen
    this.stepMillis += step
    // Taken off before anybody is told, since whoever is told may queue the next, or drop others.
    const done = this.take(answers.length)
    if (tx.topics.size > 0) {
      for (const listener of this.listeners) listener(tx.topics)
    }
    for (const [at, command] of done.entries()) command.answer(Effect.succeed(answers[at]))
    return true
  }

  /** Fails all that is queued. */
  giveUp(cause: unknown): void {
    for (const { answer, operation } of this.take(this.pending.length)) {
      answer(Effect.fail(unavailable(operation, cause)))
    }
  }

  private take(count: number): ReadonlyArray<Command> {
    const taken = this.pending.slice(0, count)
    this.pending = this.pending.slice(count)
    this.singly = Math.max(0, this.singly - count)
    return taken
  }

  private rollback(): void {
    // Numbers given within it are not to be remembered.
    this.kinds.clear()
    this.lanes.clear()
    // SQLite has ended it by itself after some errors, as when the disk is full.
    if (this.sqlite.isTransaction) this.sqlite.exec("ROLLBACK")
  }

  close(): void {
    this.isClosed = true
    this.giveUp(closed)
    this.statements.clear()
    this.tupled.clear()
    this.sqlite.close()
  }
}

const closed = new Error("the database is closed")

/** Opens `file`, made if it does not exist, for as long as the scope lasts. */
export const open = (
  file: string,
  clock: Clock.Clock,
): Effect.Effect<Database, Refused | StorageUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const sqlite = yield* Effect.acquireRelease(
      Effect.try({ try: () => connect(file), catch: (error) => unavailable("open", error) }),
      (sqlite) => Effect.sync(() => sqlite.isOpen && sqlite.close()),
    )
    yield* prepared(sqlite, file)
    const db = new Database(sqlite, clock, file !== ":memory:")
    yield* Effect.addFinalizer(() => Effect.sync(() => db.close()))
    yield* Effect.forkScoped(flusher(db))
    return db
  })

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

/** Several processes may open a new file at once, and all but one find it busy for a moment. */
const prepared = (sqlite: DatabaseSync, file: string) => {
  const deadline = performance.now() + busyMillis
  const attempt: Effect.Effect<void, Refused | StorageUnavailable> = Effect.suspend(() => {
    try {
      sqlite.exec("PRAGMA busy_timeout = 0")
      const refusal = refusalOf(sqlite, file)
      if (refusal !== undefined) return Effect.fail(refusal)
      sqlite.exec("PRAGMA journal_mode = WAL")
      // Each commit is on the disk before it is acknowledged (S1).
      sqlite.exec("PRAGMA synchronous = FULL")
      sqlite.exec("PRAGMA cache_size = -65536")
      sqlite.exec("PRAGMA temp_store = MEMORY")
      sqlite.exec("PRAGMA journal_size_limit = 67108864")
      migrate(sqlite)
      return Effect.void
    } catch (error) {
      if (sqlite.isTransaction) sqlite.exec("ROLLBACK")
      if (isForeign(error)) return Effect.fail(foreign(file))
      if (!isBusy(error) || performance.now() > deadline) {
        return Effect.fail(unavailable("open", error))
      }
      return Effect.andThen(pause, attempt)
    }
  })
  return attempt
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

const migrate = (sqlite: DatabaseSync): void => {
  if (pragma(sqlite, "user_version") === steps.length) return
  sqlite.exec("BEGIN IMMEDIATE")
  // Another process may have done it since.
  for (let version = pragma(sqlite, "user_version"); version < steps.length; version++) {
    sqlite.exec(steps[version]!)
    sqlite.exec(`PRAGMA user_version = ${version + 1}`)
  }
  sqlite.exec(`PRAGMA application_id = ${applicationId}`)
  sqlite.exec("COMMIT")
}

const flusher = (db: Database): Effect.Effect<never> =>
  Effect.gen(function* () {
    for (;;) {
      yield* db.wanted.await
      db.wanted.closeUnsafe()
      let deadline = performance.now() + busyMillis
      while (db.hasPending) {
        if (db.flush()) {
          deadline = performance.now() + busyMillis
          yield* db.stepMillis === 0 ? Effect.yieldNow : logStep(db)
        } else if (performance.now() > deadline) {
          db.giveUp(new Error(`another process has kept the file locked for ${busyMillis} ms`))
        } else yield* pause
      }
    }
  })

const logStep = (db: Database) =>
  Effect.suspend(() => {
    const millis = db.stepMillis
    db.stepMillis = 0
    return Effect.logWarning("the clock was set, or the machine slept; all leases were renewed", {
      millis,
    })
  })

/** Different for each, so that those who wait do not keep in step. */
const pause = Effect.flatMap(
  Random.next,
  (chance) => Effect.sleep(Duration.millis(1 + 4 * chance)),
)

/** Deno gives no error numbers, so some are known by their text. */
const hasCode = (error: unknown, codes: ReadonlyArray<number>, text: RegExp): boolean => {
  const { errcode, message } = error as { errcode?: number; message?: string }
  return errcode === undefined ? text.test(message ?? "") : codes.includes(errcode & 0xff)
}

const isBusy = (error: unknown): boolean => hasCode(error, [5, 6], /is locked/)
const isForeign = (error: unknown): boolean => hasCode(error, [26], /not a database/)
const isConstraint = (error: unknown): boolean => hasCode(error, [19], /constraint failed/)

const unavailable = (operation: string, cause: unknown): StorageUnavailable =>
  new StorageUnavailable({ storage: "sqlite", operation, cause })

/** What SQLite could not do is an outage; a broken constraint, and any other error, is our defect. */
const failed = (
  operation: string,
  error: unknown,
): Effect.Effect<never, StorageUnavailable> =>
  error instanceof Error && "code" in error && !isConstraint(error)
    ? Effect.fail(unavailable(operation, error))
    : Effect.die(error)
